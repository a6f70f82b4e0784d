#!/bin/sh
# Generates packages/api/gen from packages/api/proto with buf and protoc-gen-es.
# Does nothing when gen is newer than every input, so it is cheap to call from every target.
set -eu
cd "$(dirname "$0")/../packages/api"
stamp=gen/.stamp
if [ -f "$stamp" ] && [ -z "$(find proto buf.yaml buf.gen.yaml ../../scripts/generate-api.sh -newer "$stamp" -print -quit)" ]; then
  exit 0
fi
../../node_modules/.bin/buf generate
touch "$stamp"
