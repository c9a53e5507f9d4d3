#!/usr/bin/env bash
# The commands of docs/plugins.md, "From nothing to a new version", in the directory that it is run in.
# usage: quickstart.sh LANG SOURCE
set -euo pipefail
lang=$1
source=$2
trap 'shaddock stop >/dev/null 2>&1 || true' EXIT

shaddock new my-game --lang "$lang"
cd my-game
shaddock toolchain "$lang"
shaddock test
shaddock build
shaddock start --daemon
shaddock call connector.helloHandler.greet '{"name":"Ada"}'
sed -i.old 's/{name}!/{name}, welcome!/' "$source"
shaddock build
shaddock plugin deploy my-game build/my-game.wasm
shaddock call connector.helloHandler.greet '{"name":"Ada"}'
shaddock stop
