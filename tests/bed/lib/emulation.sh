# linux/arm64 on this machine: qemu registered with the kernel. It is the machine's, so all beds share one entry.
# shellcheck shell=bash

formats=/proc/sys/fs/binfmt_misc
users=$claims/emulation # one file a bed; `registered` and `mounted` tell what a bed did and the last one undoes

emulation_works() {
  local entry
  for entry in "$formats"/*; do
    [[ -f $entry ]] && grep -qx enabled "$entry" 2>/dev/null && grep -q '^magic 7f454c460201010000000000000000000200b7' "$entry" && return
  done
  return 1
}

# Flags: F opens qemu now, so that it works in any container; P keeps argv[0], which busybox needs.
prepare_emulation() {
  local lock
  mkdir -p "$users"
  exec {lock}>"$claims/lock"
  flock "$lock"
  if [[ ! -e $formats/register ]]; then
    mount -t binfmt_misc binfmt_misc "$formats" || fail "cannot mount $formats: the kernel has no binfmt_misc"
    : >"$users/mounted"
  fi
  if ! emulation_works; then
    printf '%s' ':qemu-aarch64:M:0:\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'"$tree/host/usr/bin/qemu-aarch64-static:PF" >"$formats/register"
    : >"$users/registered"
    remember emulation registered
  elif [[ -z $(fact emulation) ]]; then
    remember emulation found
  fi
  printf '%s\n' "$bed" >"$users/bed-$(fact slot)"
  flock -u "$lock"
  exec {lock}>&-
}

release_emulation() {
  local lock user
  [[ -d $users ]] || return 0
  exec {lock}>"$claims/lock"
  flock "$lock"
  rm -f "$users/bed-$(fact slot)"
  for user in "$users"/bed-*; do
    [[ -e $user && -d $(cat "$user")/facts ]] || rm -f "$user"
  done
  if ! compgen -G "$users/bed-*" >/dev/null; then
    if [[ -e $users/registered ]]; then
      [[ -e $formats/qemu-aarch64 ]] && printf -- -1 >"$formats/qemu-aarch64"
      rm -f "$users/registered"
    fi
    [[ -e $users/mounted ]] && umount "$formats" && rm -f "$users/mounted"
    rmdir "$users" 2>/dev/null || true
  fi
  flock -u "$lock"
  exec {lock}>&-
}
