"""Prints a template with the documents that it includes (AWS::Include) in their places."""

import pathlib
import sys

import yaml


def keep(loader, suffix, node):
    value = {
        yaml.ScalarNode: loader.construct_scalar,
        yaml.SequenceNode: lambda n: loader.construct_sequence(n, deep=True),
        yaml.MappingNode: lambda n: loader.construct_mapping(n, deep=True),
    }[type(node)](node)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


yaml.SafeLoader.add_multi_constructor("!", keep)


def included(value, folder):
    if isinstance(value, list):
        return [included(item, folder) for item in value]
    if not isinstance(value, dict):
        return value
    transform = value.get("Fn::Transform", {})
    if transform.get("Name") == "AWS::Include":
        return yaml.safe_load((folder / transform["Parameters"]["Location"]).read_text())
    return {name: included(item, folder) for name, item in value.items()}


path = pathlib.Path(sys.argv[1])
print(yaml.safe_dump(included(yaml.safe_load(path.read_text()), path.parent), sort_keys=False))
