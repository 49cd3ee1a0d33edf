# The folder of real tools that stands first in the PATH of those who use the bed, and a DOCKER_CONFIG for them.
# shellcheck shell=bash

# Debian 12's programs find their libraries in the tree; testing's run with the machine's own.
libraries() { printf '%s/host/lib/x86_64-linux-gnu:%s/host/usr/lib/x86_64-linux-gnu' "$tree" "$tree"; }

# wrap FILE VARIABLE=VALUE PROGRAM ARGUMENT…: a script that runs a program of the tree.
wrap() {
  local file=$1
  shift
  rm -f "$file"
  {
    echo '#!/bin/sh'
    printf 'exec env LD_LIBRARY_PATH=%q' "$(libraries)"
    printf ' %q' "$@"
    echo ' "$@"'
  } >"$file"
  chmod +x "$file"
}

prepare_tools() {
  local program plugin
  mkdir -p "$tools" "$bed/docker-config/cli-plugins"
  for program in docker ctr crane cosign oras notation docker-registry docker-credential-pass docker-credential-ecr-login; do
    ln -sf "$tree/tools/usr/bin/$program" "$tools/$program"
  done
  # Not beside the others: where `docker login` finds `pass` in its PATH it stores logins there, unasked.
  mkdir -p "$pass_path"
  ln -sf "$tree/host/usr/bin/pass" "$tree/host/usr/bin/tree" "$pass_path/"
  wrap "$tools/socat" "OPENSSL_CONF=/dev/null" "$tree/host/usr/bin/socat"
  # Small machines lack these; where there is one, it is used.
  command -v ip >/dev/null || wrap "$tools/ip" "LC_ALL=C" "$tree/host/bin/ip"
  command -v openssl >/dev/null || wrap "$tools/openssl" "LC_ALL=C" "$tree/host/usr/bin/openssl"
  for plugin in buildx compose; do
    ln -sf "$tree/tools/usr/libexec/docker/cli-plugins/docker-$plugin" "$bed/docker-config/cli-plugins/docker-$plugin"
  done
  [[ -e $bed/docker-config/config.json ]] || echo '{}' >"$bed/docker-config/config.json"
  PATH=$tools:$PATH
}
