# The Debian archive that this machine's own apt uses. Its address is read, never written down.
# shellcheck shell=bash

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Lists need not have been fetched for this: --no-release-info asks the sources alone.
mirror() {
  local codename found
  if [[ -n ${CASTOFF_BED_MIRROR:-} ]]; then
    printf '%s' "${CASTOFF_BED_MIRROR%/}"
    return
  fi
  codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  # shellcheck disable=SC2016  # apt fills these in
  found=$(apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' |
    awk -v codename="$codename" '($2 == codename || $2 == "stable") && $3 == "main" { print $1 }' | sed -n 1p)
  [[ -n $found ]] || fail "apt's sources name no Debian archive with '$codename main'; set CASTOFF_BED_MIRROR to the address of one"
  printf '%s' "${found%/}"
}

# fetch URI FILE SHA256, repeated: through apt's own transport, so its proxies and settings hold. A hash that does
# not match is an error; what could be had is there afterwards.
fetch() {
  /usr/lib/apt/apt-helper -o APT::Sandbox::User=root -o Acquire::Retries=2 -q=2 download-file "$@" >/dev/null 2>>"$cache/fetch.log"
}

# A private apt: testing beside Debian 12, both architectures, nothing of the machine's own lists touched.
# An archive may be frozen, with Release files that have expired: they are still signed.
archive_apt() {
  "$1" -q=2 -o Dir::Etc::sourcelist="$cache/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::lists="$cache/apt/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$cache/apt/cache" \
    -o APT::Architecture=amd64 -o APT::Architectures::=amd64 -o APT::Architectures::=arm64 \
    -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none \
    -o APT::Update::Post-Invoke::= -o APT::Update::Post-Invoke-Success::= \
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "${@:2}"
}

archive_open() {
  local suite address
  [[ -r $keyring ]] || fail "$keyring is missing: install debian-archive-keyring"
  address=$(mirror)
  mkdir -p "$cache/apt/lists/partial" "$cache/apt/cache/archives/partial"
  for suite in forky bookworm; do
    printf 'deb [signed-by=%s arch=amd64,arm64] %s %s main\n' "$keyring" "$address" "$suite"
  done >"$cache/apt/sources.list"
  archive_apt apt-get update >&2
}

# archive_uris SUITE ARCHITECTURE PACKAGE…: what the archive has today, a line each: uri file size SHA256:hash
archive_uris() {
  local suite=$1 architecture=$2
  shift 2
  [[ $architecture == all ]] && architecture=amd64
  archive_apt apt-get --print-uris download "${@/%/:$architecture/$suite}" | sed -n "s/^'\([^']*\)' /\1 /p"
}
