"""Sends events to functions and compares the answers with what must be in them."""

import json
import pathlib
import shlex
import socket
import subprocess
import sys
import time
import urllib.request


def difference(place, expected, got):
    if isinstance(expected, dict) and isinstance(got, dict):
        for name, value in expected.items():
            found = difference(f"{place}.{name}", value, got.get(name))
            if found:
                return found
        return None
    return None if expected == got else f"{place} is {got!r}, not {expected!r}"


def readable(answer):
    if isinstance(answer, dict) and isinstance(answer.get("body"), str):
        answer["body"] = json.loads(answer["body"])
    return answer


def events(folder, function=None):
    names = [path.name[: -len(".json")] for path in pathlib.Path(folder).glob("*.json")]
    names = [name for name in names if not name.endswith(".expected")]
    names = [name for name in names if function is None or name.startswith(f"{function}.")]
    # Rotations come last: they make tokens worthless.
    for name in sorted(names, key=lambda name: (".keyring.z" in name, name.startswith("rotate-keyring"), name)):
        expected = json.loads(pathlib.Path(folder, f"{name}.expected.json").read_text())
        yield name, pathlib.Path(folder, f"{name}.json"), expected


def run(folder, function, invoke):
    count, wrong = 0, []
    for name, path, expected in events(folder, function):
        count += 1
        found = difference("answer", expected, readable(invoke(name.split(".")[0], path)))
        if found:
            wrong.append(f"{name}: {found}")
    print("\n".join(wrong))
    print(f"{count - len(wrong)} of {count} events answered as expected")
    sys.exit(1 if wrong or not count else 0)


def wait_for(port):
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit(f"nothing listens on port {port}")


def by_emulator(url):
    def invoke(_, path):
        request = urllib.request.Request(f"{url}/2015-03-31/functions/function/invocations", path.read_bytes())
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer = json.load(answer)
        if isinstance(answer, dict) and "errorMessage" in answer:
            return {"errorMessage": answer["errorMessage"]}
        return answer

    return invoke


def by_cargo_lambda(port):
    def invoke(function, path):
        command = ["cargo", "lambda", "invoke", "--invoke-port", port, function, "--data-file", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode == 0:
            return json.loads(done.stdout)
        # "Error: <type>", then the message after a cross; long ones are folded.
        said = done.stderr.split("\u00d7", 1)[-1].split("Was this behavior unexpected?")[0]
        return {"errorMessage": " ".join(said.replace("\u2502", " ").split())}

    return invoke


match sys.argv[1:]:
    case ["exports", ready]:
        for name, value in json.loads(pathlib.Path(ready).read_text())["env"].items():
            print(f"export {name}={shlex.quote(value)}")
    case ["rie", folder, url, function]:
        wait_for(int(url.rsplit(":", 1)[1]))
        run(folder, function, by_emulator(url))
    case ["cargo-lambda", folder, port]:
        wait_for(int(port))
        run(folder, None, by_cargo_lambda(port))
    case _:
        sys.exit("usage: invoke.py exports READY | rie FOLDER URL FUNCTION | cargo-lambda FOLDER PORT")
