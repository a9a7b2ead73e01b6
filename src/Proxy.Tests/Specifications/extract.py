#!/usr/bin/env python3
"""Cuts the OpenAPI specifications of OpenAI and Ollama down to what the tests check, and says what changed since the last time.

    extract.py [--from FOLDER] [--to FOLDER] [--commit NAME=HASH]...

FOLDER holds the published files, openai.openapi.json and ollama.openapi.yaml; without --from it is shared/specs beside the
repository. What is not there is left as it is. The extracts go beside this script, or where --to says. Their commit is what
--commit says; without it, the one that is written in the extract stays as long as the published file is the same.

Ollama's file needs a YAML parser (Debian: apt-get install python3-yaml).
"""
import argparse
import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
NOT_KNOWN = "not known"

# The schemas that a test asks for by name; what they refer to comes with them.
WANTED = {
    "openai": {
        "file": "openai.openapi.json",
        "source": "https://github.com/openai/openai-openapi, openapi.json",
        "schemas": [
            "CreateChatCompletionResponse",
            "CreateChatCompletionStreamResponse",
            "CreateCompletionResponse",
            "CreateEmbeddingResponse",
            "DeleteFileResponse",
            "DeleteVectorStoreFileResponse",
            "DeleteVectorStoreResponse",
            "ErrorResponse",
            "ListFilesResponse",
            "ListModelsResponse",
            "ListVectorStoreFilesResponse",
            "ListVectorStoresResponse",
            "Model",
            "OpenAIFile",
            "Response",
            "ResponseStreamEvent",
            "TokenCountsResource",
            "VectorStoreFileBatchObject",
            "VectorStoreFileContentResponse",
            "VectorStoreFileObject",
            "VectorStoreObject",
            "VectorStoreSearchResultsPage",
        ],
    },
    "ollama": {
        "file": "ollama.openapi.yaml",
        "source": "https://github.com/ollama/ollama, docs/openapi.yaml",
        "schemas": [
            "ChatResponse",
            "ChatStreamEvent",
            "EmbedResponse",
            "ErrorResponse",
            "GenerateResponse",
            "GenerateStreamEvent",
            "ListResponse",
            "PsResponse",
        ],
    },
}

# Words for people, and hints for code generators: no document is valid or not because of them.
SAYS_NOTHING = {"default", "deprecated", "description", "discriminator", "example", "examples", "externalDocs", "summary", "title"}
# Members whose own members are names that the specification gives, not words of JSON schema.
NAMES = {"properties", "patternProperties", "$defs", "definitions"}
# Members whose value is a document, not a schema.
VALUES = {"const", "enum"}


def reduced(schema):
    if isinstance(schema, list):
        return [reduced(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for word, value in schema.items():
        if word in SAYS_NOTHING or word.startswith("x-"):
            continue
        if word in VALUES:
            kept[word] = value
        elif word in NAMES and isinstance(value, dict):
            kept[word] = {name: reduced(inner) for name, inner in value.items()}
        else:
            kept[word] = reduced(value)
    return kept


def references(node):
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    elif isinstance(node, dict):
        for word, value in node.items():
            if word == "$ref" and isinstance(value, str):
                yield value.removeprefix("#/components/schemas/")
            else:
                yield from references(value)


def with_references(schemas, wanted):
    kept, ahead = {}, list(wanted)
    while ahead:
        name = ahead.pop()
        if name in kept:
            continue
        if name not in schemas:
            sys.exit(f"extract.py: the specification has no schema '{name}'")
        kept[name] = reduced(schemas[name])
        ahead.extend(references(kept[name]))
    return dict(sorted(kept.items()))


def parsed(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    try:
        import yaml
    except ImportError:
        sys.exit(f"extract.py: {path.name} needs a YAML parser: apt-get install python3-yaml")
    return yaml.safe_load(text)


def write(path, extract):
    """One schema a line: a newer specification shows in a diff as the schemas that changed."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in extract.items() if key != "schemas"]
    schemas = [f"    {json.dumps(name)}: {json.dumps(schema, separators=(',', ':'))}" for name, schema in extract["schemas"].items()]
    lines.append('  "schemas": {\n' + ",\n".join(schemas) + "\n  }")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def differences(before, after, where):
    """One line for each place that differs, with the path to it."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            if name not in after:
                yield f"- {where}.{name}"
            elif name not in before:
                yield f"+ {where}.{name}"
            else:
                yield from differences(before[name], after[name], f"{where}.{name}")
    elif isinstance(before, list) and isinstance(after, list) and not any(isinstance(item, (dict, list)) for item in before + after):
        yield from (f"- {where}: {item}" for item in before if item not in after)
        yield from (f"+ {where}: {item}" for item in after if item not in before)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after)):
            yield from differences(*pair, f"{where}[{index}]")
    elif before != after:
        yield f"~ {where}: {shown(before)} is now {shown(after)}"


def shown(value):
    text = json.dumps(value)
    return text if len(text) <= 100 else text[:97] + "..."


def extract(name, wanted, published, target, commit):
    old = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    specification = parsed(published)
    if commit is None:
        commit = old.get("commit", NOT_KNOWN) if old.get("sha256") == digest else NOT_KNOWN
    new = {
        "source": wanted["source"],
        "commit": commit,
        "sha256": digest,
        "version": specification["info"]["version"],
        "licence": specification["info"]["license"]["name"],
        "schemas": with_references(specification["components"]["schemas"], wanted["schemas"]),
    }
    write(target, new)
    changed = list(differences(old.get("schemas", {}), new["schemas"], name))
    print(f"{target.name}: {len(new['schemas'])} schemas of {wanted['file']} {new['version']}, {target.stat().st_size} bytes; {len(changed)} changes")
    for line in changed if old else []:
        print(f"  {line}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", type=pathlib.Path, default=HERE.parents[3] / "shared" / "specs", metavar="FOLDER")
    parser.add_argument("--to", type=pathlib.Path, default=HERE, metavar="FOLDER")
    parser.add_argument("--commit", action="append", default=[], metavar="NAME=HASH")
    asked = parser.parse_args()
    commits = dict(pair.split("=", 1) for pair in asked.commit)
    there = {name: asked.source / wanted["file"] for name, wanted in WANTED.items() if (asked.source / wanted["file"]).exists()}
    if not there:
        sys.exit(f"extract.py: {asked.source} has neither {' nor '.join(wanted['file'] for wanted in WANTED.values())}")
    for name, published in there.items():
        extract(name, WANTED[name], published, asked.to / f"{name}.json", commits.get(name))


if __name__ == "__main__":
    main()
