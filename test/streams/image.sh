#!/usr/bin/env bash
# A Docker archive with busybox in it: image.sh FILE. Its command sleeps, so that it can also be a
# sandbox's.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
root="$work/root"
mkdir -p "$root"/{bin,tmp,www,proc,sys,dev,etc}
cp /bin/busybox "$root/bin/busybox"
for name in $(/bin/busybox --list); do
  [[ $name == busybox ]] || ln -s busybox "$root/bin/$name"
done
tar -C "$root" --owner=0 --group=0 --numeric-owner -cf "$work/layer.tar" .
layer="$(sha256sum "$work/layer.tar" | cut -d' ' -f1)"
cat >"$work/config.json" <<END
{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["/bin/sleep","1000000"]},
"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]},"history":[]}
END
cat >"$work/manifest.json" <<END
[{"Config":"config.json","RepoTags":["localhost/streams:1"],"Layers":["layer.tar"]}]
END
tar -C "$work" -cf "$1" config.json manifest.json layer.tar
