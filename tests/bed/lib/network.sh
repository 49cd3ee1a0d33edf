# Ports, addresses and bridges of one bed among several: a slot of the machine gives them all.
# shellcheck shell=bash

# Slot N holds ports 21000+40N… (below the range the kernel hands out) and 10.(180+N).0.0/16.
slots=40 ports_per_slot=40

services=(registry registry-auth registry-crane registry-readonly registry-nodelete registry-token token
  tls mtls fault-429 fault-503 fault-cut fault-413 fault-502 fault-slow fault-403 fault-tag)

port_of() {
  local i
  for i in "${!services[@]}"; do
    [[ ${services[i]} == "$1" ]] && printf '%s' "$((21000 + $(fact slot) * ports_per_slot + i))" && return
  done
  fail "no port for $1"
}
host_of() { printf '127.0.0.1:%s' "$(port_of "$1")"; }

# subnet_of ENGINE WHAT: the engine's own bridge, and the pool from which it takes the networks of containers.
address_of() { printf '10.%s.%s.1/24' "$((180 + $(fact slot)))" "$([[ $1 == engine ]] && echo 0 || echo 1)"; }
pool_of() { printf '10.%s.%s.0/20' "$((180 + $(fact slot)))" "$([[ $1 == engine ]] && echo 16 || echo 32)"; }
# Names of interfaces have at most 15 characters.
bridge_of() { printf 'castoff%s%s' "$(fact slot)" "$([[ $1 == engine ]] && echo a || echo b)"; }

# claim_slot: the slot this bed had, if nobody took it, else the first free one.
claim_slot() {
  local lock slot had
  mkdir -p "$claims"
  exec {lock}>"$claims/lock"
  flock "$lock"
  had=$(fact slot)
  if [[ -n $had ]] && anything_runs; then
    printf '%s\n' "$bed" >"$claims/slot-$had"
  elif [[ -z $had || $(cat "$claims/slot-$had" 2>/dev/null) != "$bed" ]]; then
    for slot in $had $(seq 0 $((slots - 1))); do
      claimable "$slot" || continue
      remember slot "$slot"
      printf '%s\n' "$bed" >"$claims/slot-$slot"
      break
    done
    [[ $(cat "$claims/slot-$(fact slot)" 2>/dev/null) == "$bed" ]] || fail "no free ports and addresses for a bed: all $slots slots are taken"
  fi
  flock -u "$lock"
  exec {lock}>&-
}

claimable() {
  local owner port low
  owner=$(cat "$claims/slot-$1" 2>/dev/null || true)
  [[ -z $owner || $owner == "$bed" || $(cat "$owner/facts/slot" 2>/dev/null) != "$1" ]] || return 1
  low=$((21000 + $1 * ports_per_slot))
  for port in $(listening); do
    ((port < low || port >= low + ports_per_slot)) || return 1
  done
  ! subnet_is_used "$((180 + $1))"
}

listening() {
  local address state
  while read -r _ address _ state _; do
    [[ $state == 0A ]] && printf '%d\n' "0x${address##*:}"
  done < <(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null)
}

# Does any route or address lie in, or around, 10.N.0.0/16?
subnet_is_used() {
  local net length a b
  while IFS='./ ' read -r a b _ _ length; do
    [[ $a == 10 ]] || continue
    ((length >= 16)) && ((b == $1)) && return 0
    ((length >= 8 && length < 16)) && (((b >> (16 - length)) == ($1 >> (16 - length)))) && return 0
  done < <(ip -4 -o addr show | awk '{ print $4 }'; ip -4 route show | awk '$1 ~ /^[0-9.]+(\/[0-9]+)?$/ { print ($1 ~ /\//) ? $1 : $1 "/32" }')
  return 1
}

release_slot() {
  local slot
  slot=$(fact slot)
  [[ -n $slot && $(cat "$claims/slot-$slot" 2>/dev/null) == "$bed" ]] && rm -f "$claims/slot-$slot"
  return 0
}

bridge_up() {
  local name
  name=$(bridge_of "$1")
  ip link show "$name" >/dev/null 2>&1 || ip link add "$name" type bridge
  [[ $(ip -4 -o addr show dev "$name") == *" $(address_of "$1") "* ]] || ip addr add "$(address_of "$1")" dev "$name"
  ip link set "$name" up
}

# Bridges in the bed's own range: its two, and those of networks that containers used.
bridges_down() {
  local name prefix
  prefix="10.$((180 + $(fact slot)))."
  while read -r name; do
    ip link delete "${name%%@*}" 2>/dev/null || true
  done < <(ip -4 -o addr show | awk -v prefix="$prefix" 'index($4, prefix) == 1 { print $2 }' | sort -u)
}
