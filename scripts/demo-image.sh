#!/bin/sh
# Makes an image archive (docker's format) of Debian's busybox-static: `demo-image.sh FILE`. No registry is needed.
set -eu
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root/bin" "$work/root/etc" "$work/root/root" "$work/root/tmp" "$work/root/proc" "$work/root/sys" "$work/root/dev"
cp "$(command -v busybox)" "$work/root/bin/busybox"
for name in $(busybox --list); do
  [ "$name" = busybox ] || ln -s busybox "$work/root/bin/$name"
done
echo 'root:x:0:0:root:/root:/bin/sh' > "$work/root/etc/passwd"
echo 'root:x:0:' > "$work/root/etc/group"
chmod 1777 "$work/root/tmp"
# The same bytes each time, so that the image keeps its id.
tar -C "$work/root" --owner=0 --group=0 --numeric-owner --sort=name --mtime=@0 -cf "$work/layer.tar" .
diff=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
case $(uname -m) in aarch64) arch=arm64 ;; *) arch=amd64 ;; esac
cat > "$work/config.json" <<EOF
{"architecture":"$arch","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["sh"],"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":["sha256:$diff"]}}
EOF
echo '[{"Config":"config.json","RepoTags":["berth/demo:latest"],"Layers":["layer.tar"]}]' > "$work/manifest.json"
tar -C "$work" --owner=0 --group=0 --sort=name --mtime=@0 -cf "$out" manifest.json config.json layer.tar
