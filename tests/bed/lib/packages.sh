# From pins to a tree: what is missing is fetched, checked, and extracted once for all beds of this user.
# shellcheck shell=bash

# wanted: a line each: folder suite architecture package
wanted() { sed 's/#.*//' "$bed_source/packages" | awk 'NF > 3 { for (i = 4; i <= NF; i++) print $1, $2, $3, $i }'; }

# pins: a line each: suite package architecture hash path pinned-path. The last two differ for a stand-in, which holds
# as long as the pin it stands for: a new pin wins over an old stand-in.
pins() {
  touch "$cache/stand-ins"
  awk '/^#/ || NF < 3 { next }
    old { path[$4] = $3; hash[$4] = $2; next }
    { p = ($3 in path) ? path[$3] : $3; h = ($3 in hash) ? hash[$3] : $2
      n = split(p, parts, "/"); file = parts[n]; gsub(/%2b/, "+", file); sub(/\.deb$/, "", file); split(file, name, "_")
      print $1, name[1], name[3], h, p, $3 }' old=1 "$cache/stand-ins" old=0 "$bed_source/versions"
}

file_of() {
  local file=${1##*/}
  printf '%s' "${file//%2b/+}"
}

# prepare_packages: sets `tree`, the folder with everything in it.
prepare_packages() {
  local began lock
  began=$(tenths)
  mkdir -p "$cache/debs" "$cache/trees"
  tree=$(tree_of_pins)
  if [[ $tree != "$(fact tree)" && -e $(fact tree)/complete ]] && anything_runs; then
    tree=$(fact tree)
    report packages "$began" "as this bed was started; they have changed: down, then up"
  elif [[ ! -e $tree/complete ]]; then
    exec {lock}>"$cache/lock"
    flock "$lock"
    fetch_packages
    tree=$(tree_of_pins)
    [[ -e $tree/complete ]] || extract_packages
    flock -u "$lock"
    exec {lock}>&-
    report packages "$began" "$fetched of $(wanted | sort -u -k2 | wc -l) fetched, extracted to ${tree/#$HOME/\~}"
  else
    report packages "$began" "from the cache, ${tree/#$HOME/\~}"
  fi
}

# A tree is named by what it is made of, and by how.
tree_of_pins() {
  printf '%s/trees/%s' "$cache" "$( (pins; cat "$bed_source"/{packages,lib/{packages.sh,extract,images.sh,layer}}) | sha256sum | cut -c1-16)"
}

# shellcheck disable=SC2178  # `list` names one of three
fetch_packages() {
  local suite package architecture hash path pin file batches=3 batch=0 jobs=() address=
  local -a missing=() list0=() list1=() list2=()
  fetched=0
  mkdir -p "$cache/debs/partial"
  while read -r suite package architecture hash path pin; do
    file=$(file_of "$path")
    [[ -e $cache/debs/$file ]] && continue
    missing+=("$suite $package $architecture $hash $path $pin")
    [[ -n $address ]] || address=$(mirror)
    local -n list=list$batch
    list+=("$address/$path" "$cache/debs/partial/$file" "SHA256:$hash")
    batch=$(((batch + 1) % batches))
  done < <(pins)
  ((${#missing[@]})) || return 0
  say "  fetching ${#missing[@]} packages from the machine's Debian archive"
  : >"$cache/fetch.log"
  for ((batch = 0; batch < batches; batch++)); do
    local -n list=list$batch
    ((${#list[@]})) && { fetch "${list[@]}" & jobs+=($!); }
  done
  for batch in "${jobs[@]}"; do wait "$batch" || true; done
  for package in "${missing[@]}"; do
    read -r suite package architecture hash path pin <<<"$package"
    keep "$(file_of "$path")" "$hash" || stand_in "$suite" "$package" "$architecture" "$pin"
  done
}

# keep FILE HASH: a fetched package counts once it is whole.
keep() {
  sha256sum --status -c - <<<"$2  $cache/debs/partial/$1" 2>/dev/null || return 1
  mv "$cache/debs/partial/$1" "$cache/debs/$1"
  fetched=$((fetched + 1))
}

# stand_in SUITE PACKAGE ARCHITECTURE PIN: the pin is gone from the archive; take what it has today, and say so.
stand_in() {
  local uri file hash
  if [[ -z ${archive_is_open:-} ]]; then
    archive_open || fail "a pinned package is gone and the archive's lists cannot be had; see $cache/fetch.log"
    archive_is_open=yes
  fi
  read -r uri file _ hash < <(archive_uris "$1" "$3" "$2") || true
  [[ -n ${uri:-} ]] || fail "the archive has no $2 for $3 in $1; see $cache/fetch.log"
  hash=${hash#SHA256:}
  file=$(file_of "$uri")
  warn "the pinned version of $2 ($1, $3) is gone; using ${file%.deb}"
  rm -f "$cache/debs/partial/$file"
  fetch "$uri" "$cache/debs/partial/$file" "SHA256:$hash" || true
  keep "$file" "$hash" || fail "$uri cannot be fetched; see $cache/fetch.log"
  printf '%s %s %s %s\n' "$1" "$hash" "${uri#"$(mirror)"/}" "$4" >>"$cache/stand-ins"
}

# extract_packages: every folder of the list, in the end atomically the tree.
extract_packages() {
  local making=$tree.making folder suite architecture package root deb
  local -A deb_of=()
  while read -r suite package architecture _ path _; do
    deb_of["$suite $package $architecture"]=$cache/debs/$(file_of "$path")
  done < <(pins)
  rm -rf "$making"
  mkdir -p "$making"
  while read -r folder suite architecture package; do
    deb=${deb_of["$suite $package $architecture"]:-${deb_of["$suite $package all"]:-}}
    [[ -n $deb ]] || fail "$package ($suite, $architecture) has no pin: run tests/bed/pin"
    case $folder/$architecture in
      tools/* | host/*) printf '%s %s\n' "$making/$folder" "$deb" ;;
      */all) printf '%s %s\n' "$making/$folder-amd64" "$deb" "$making/$folder-arm64" "$deb" ;;
      *) printf '%s %s\n' "$making/$folder-$architecture" "$deb" ;;
    esac
  done < <(wanted) >"$making/work"
  cut -d' ' -f1 "$making/work" | sort -u | xargs mkdir -p
  # Biggest first and two at a time: unpacking is the processor's work.
  while read -r root deb; do
    printf '%s %s %s\n' "$(stat -c %s "$deb")" "$root" "$deb"
  done <"$making/work" | sort -rn | cut -d' ' -f2- | xargs -P 2 -L 1 bash "$bed_source/lib/extract"
  touch "$making/complete"
  rm -rf "$tree"
  mv "$making" "$tree"
  forget_trees
}

# A tree that is neither the newest nor used by a bed of this machine is only disk space.
forget_trees() {
  local old used
  used=$(for old in "$claims"/slot-*; do cat "$(cat "$old" 2>/dev/null)/facts/tree" 2>/dev/null || true; done)
  for old in "$cache"/trees/*; do
    [[ $old == "$tree" ]] || grep -qxF "$old" <<<"$used" || rm -rf "$old"
  done
}
