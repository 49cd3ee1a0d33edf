# Base images for two platforms, made from packages without running any of them: no emulation, no engine, no network.
# The same pins give the same digests on every machine.
# shellcheck shell=bash

epoch=2026-01-01T00:00:00Z
shell_path=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# prepare_images: OCI layouts in the tree, once. Three images: base = a shell, app and redis = base and one more layer.
prepare_images() {
  local making=$tree/images.making
  [[ -e $tree/images ]] && return
  exec {images_lock}>"$cache/lock"
  flock "$images_lock"
  if [[ ! -e $tree/images ]]; then
    rm -rf "$making"
    mkdir -p "$making/blobs/sha256"
    furnish_roots
    # Two at a time; the big ones first.
    printf '%s\n' app-arm64 app-amd64 redis-arm64 redis-amd64 base-arm64 base-amd64 |
      xargs -P 2 -I{} bash "$bed_source/lib/layer" "$tree/{}" "$making" "$making/{}.layer"
    layout "$making" base '"Cmd":["/bin/sh"]'
    layout "$making" app '"Cmd":["/bin/sh"]'
    layout "$making" redis '"Cmd":["redis-server","--protected-mode","no"],"WorkingDir":"/data","ExposedPorts":{"6379/tcp":{}}'
    mv "$making" "$tree/images"
  fi
  flock -u "$images_lock"
  exec {images_lock}>&-
}

# What packages make only when they are installed: links, accounts, folders.
furnish_roots() {
  local architecture root applet
  for architecture in amd64 arm64; do
    root=$tree/base-$architecture
    rm -rf "$root/usr/share/common-licenses"
    # Both architectures have the same applets; asking the one that runs here is enough.
    while read -r applet; do
      mkdir -p "$root/${applet%/*}"
      [[ -e $root/$applet ]] || ln -s /bin/busybox "$root/$applet"
    done < <("$tree/base-amd64/bin/busybox" --list-full | grep -v '^bin/busybox$')
    mkdir -p "$root/tmp" "$root/etc" "$root/root"
    chmod 1777 "$root/tmp"
    printf '%s\n' root:x:0:0:root:/root:/bin/sh www-data:x:33:33:www-data:/var/www:/bin/false \
      nobody:x:65534:65534:nobody:/nonexistent:/bin/false >"$root/etc/passwd"
    printf '%s\n' root:x:0: www-data:x:33: nogroup:x:65534: >"$root/etc/group"
    root=$tree/app-$architecture
    ln -sf python3.11 "$root/usr/bin/python3"
    mkdir -p "$root/var/lib/nginx" "$root/var/log/nginx"
    mkdir -p "$tree/redis-$architecture/data"
  done
}

# put LAYOUT: stdin becomes a blob; prints its digest and size.
put() {
  local file=$1/blobs/new.$BASHPID digest
  cat >"$file"
  digest=$(sha256sum <"$file" | cut -d' ' -f1)
  mv "$file" "$1/blobs/sha256/$digest"
  printf 'sha256:%s %s' "$digest" "$(stat -c %s "$1/blobs/sha256/$digest")"
}

# layout FOLDER NAME CONFIG: an index over two manifests, as an OCI layout of its own that shares the blobs.
layout() {
  local folder=$1 name=$2 settings=$3 architecture part layers diffs history digest size diff manifests=() variant
  local type=application/vnd.oci.image
  for architecture in amd64 arm64; do
    variant=
    [[ $architecture == arm64 ]] && variant='"variant":"v8",'
    layers='' diffs='' history=''
    for part in base $( [[ $name == base ]] || echo "$name"); do
      read -r digest size diff <"$folder/$part-$architecture.layer"
      layers+=",{\"mediaType\":\"$type.layer.v1.tar+gzip\",\"digest\":\"$digest\",\"size\":$size}"
      diffs+=",\"$diff\""
      history+=",{\"created\":\"$epoch\",\"created_by\":\"castoff test bed: $part\"}"
    done
    read -r digest size < <(printf '{"architecture":"%s",%s"os":"linux","created":"%s","config":{"Env":["%s"],%s},"rootfs":{"type":"layers","diff_ids":[%s]},"history":[%s]}' \
      "$architecture" "$variant" "$epoch" "$shell_path" "$settings" "${diffs:1}" "${history:1}" | put "$folder"; echo)
    read -r digest size < <(printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json","digest":"%s","size":%s},"layers":[%s]}' \
      "$type" "$type" "$digest" "$size" "${layers:1}" | put "$folder"; echo)
    manifests+=("{\"mediaType\":\"$type.manifest.v1+json\",\"digest\":\"$digest\",\"size\":$size,\"platform\":{$variant\"architecture\":\"$architecture\",\"os\":\"linux\"}}")
  done
  mkdir "$folder/$name"
  ln -s ../blobs "$folder/$name/blobs"
  printf '{"imageLayoutVersion":"1.0.0"}' >"$folder/$name/oci-layout"
  printf '{"schemaVersion":2,"mediaType":"%s.index.v1+json","manifests":[%s,%s]}' "$type" "${manifests[@]}" >"$folder/$name/index.json"
}

# push_images HOST: the three of them; a tag that is there already is left alone.
push_images() {
  local name reference
  for name in base app redis; do
    reference=$1/bed/$(image_name "$name")
    "$tools/crane" digest "$reference" >/dev/null 2>&1 ||
      "$tools/crane" push --index "$tree/images/$name" "$reference" >/dev/null 2>>"$logs/images.log" ||
      fail "cannot push $reference; see $logs/images.log"
  done
}
image_name() {
  case $1 in
    base) echo busybox:1.35 ;;
    app) echo python-nginx:3.11 ;;
    redis) echo redis:7.0 ;;
  esac
}
