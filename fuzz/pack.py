"""Corpora, one input a line in base64, to and from a folder with one input a file."""
import base64, hashlib, pathlib, sys

what, source, target = sys.argv[1:]
if what == "unpack":
    file = pathlib.Path(source)
    for line in file.read_text().split() if file.exists() else []:
        data = base64.b64decode(line)
        (pathlib.Path(target) / hashlib.sha1(data).hexdigest()).write_bytes(data)
else:
    # Short ones first; what is long is left to the fuzzer, so that the repository stays small.
    inputs = sorted((path.read_bytes() for path in pathlib.Path(source).iterdir()), key=lambda data: (len(data), data))
    kept = [base64.b64encode(data).decode() for data in inputs if len(data) <= 4096][:400]
    pathlib.Path(target).write_text("".join(f"{line}\n" for line in kept if line))
