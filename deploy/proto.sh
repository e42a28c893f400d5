#!/bin/sh
# Regenerates the protobuf code of the .proto files named (it is committed, so only who changes one runs this).
# needs protoc: apt-get install protobuf-compiler
# usage: deploy/proto.sh FOLDER/NAME.proto...   writes FOLDER/gen/NAME_pb.ts
set -eu
cd "$(dirname "$0")/.."
for proto in "$@"; do
  folder=$(dirname "$proto")
  mkdir -p "$folder/gen"
  protoc --plugin=protoc-gen-es=node_modules/.bin/protoc-gen-es --proto_path="$folder" \
    --es_out="$folder/gen" --es_opt=target=ts,import_extension=js "$(basename "$proto")"
done
