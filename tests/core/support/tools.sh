#!/bin/sh
# One fake for every tool that a fix would ask to change the machine. Named by how it is called; what
# it was asked is in $ROOM/calls, what it holds in $ROOM/state. It fails when $ROOM/fail names it.
tool=${0##*/}
printf '%s %s\n' "$tool" "$*" >> "$ROOM/calls"
state=$ROOM/state
mkdir -p "$state"
if [ -f "$ROOM/fail" ]; then
  case " $tool $* " in *" $(cat "$ROOM/fail") "*) echo "$tool: no such luck" >&2; exit 9 ;; esac
fi
last=
for word; do last=$word; done
case $tool in
systemctl)
  unit=$state/unit-$last
  case $1 in
  show)
    case $* in *--value*) cat "$unit.invocation" 2>/dev/null || echo; exit 0 ;; esac
    since=@5
    if [ -f "$ROOM/systemd-247" ]; then
      # As it says it there.
      case $* in *--timestamp=unix*) echo "Invalid value: unix." >&2; exit 1 ;; esac
      [ "${TZ:-}" = UTC0 ] && since='Thu 1970-01-01 00:00:05 UTC' || since='Thu 1970-01-01 09:00:05 KST'
    fi
    for word; do
      case $word in *.service) ;; *) continue ;; esac
      unit=$state/unit-${word%.service}
      load=loaded active=inactive file=disabled
      [ ! -e "$unit.masked" ] || { load=masked file=masked; }
      [ ! -e "$unit.enabled" ] || file=enabled
      [ ! -e "$unit.active" ] || active=active
      printf 'Id=%s\nLoadState=%s\nActiveState=%s\nSubState=x\nUnitFileState=%s\nInvocationID=%s\nExecMainStartTimestamp=%s\nNRestarts=0\nResult=success\n\n' \
        "$word" "$load" "$active" "$file" "$(cat "$unit.invocation" 2>/dev/null)" "$since"
    done ;;
  start|restart) : > "$unit.active"; echo "i$$" > "$unit.invocation" ;;
  stop) rm -f "$unit.active" ;;
  enable) : > "$unit.enabled" ;;
  disable) rm -f "$unit.enabled" ;;
  mask) case $* in *--runtime*) ;; *) : > "$unit.masked"; rm -f "$unit.enabled" ;; esac ;;
  unmask) case $* in *--runtime*) ;; *) rm -f "$unit.masked" ;; esac ;;
  esac ;;
apt-get)
  seen=
  for word; do
    case $word in
    install) seen=1 ;;
    -*) ;;
    *) [ -z "$seen" ] || : > "$state/package-${word##*/}" ;;
    esac
  done ;;
dpkg) ;;
dpkg-query)
  echo 'dpkg installed 1.21.22 amd64'
  for package in "$state"/package-*; do
    [ ! -e "$package" ] || echo "${package##*package-} installed 1.0-1 amd64"
  done ;;
getent)
  shift
  for name; do [ ! -e "$state/user-$name" ] || { echo "$name:x:1:1::/:/bin/sh"; found=1; }; done
  [ -n "${found:-}" ] || exit 2 ;;
useradd) : > "$state/user-$last" ;;
docker)
  case $1 in
  build)
    cp -r "$last" "$state/context"
    for word; do
      case $word in
      provision.inputs=*) label=${word#*=} ;;
      provision.build=*) echo "${word#*=}" > "$state/build" ;;
      esac
      [ "${before:-}" != -t ] || name=$word
      before=$word
    done
    echo "$label" > "$state/image-$name" ;;
  save)
    [ "$(cat "$state/saves-until" 2>/dev/null || :)" != "$last" ] || { echo half; exit 1; }
    printf 'saved %s\n' "$last"; cat "$state/image-$last" ;;
  load)
    case $last in
    *.tar.gz)
      gzip -dc "$last" | { read -r _ name; cat > "$state/image-$name.new"; mv "$state/image-$name.new" "$state/image-$name"; }
      exit 0 ;;
    esac
    : > "$state/image-base:1"; echo 'Loaded image: base:1' ;;
  pull) : > "$state/image-$last" ;;
  image)
    case $3 in
    -f)
      # One image's id with its label is asked for at once.
      case $4 in
      '{{.Id}} {{index'*)
        [ -e "$state/image-$last" ] || exit 1
        echo "sha256:$last $(cat "$state/image-$last")"; exit 0 ;;
      esac
      shift 4
      for name; do
        [ -e "$state/image-$name" ] || continue
        case $name in *[:@]*) echo "tag $name" ;; *) echo "tag $name:latest" ;; esac
        [ ! -e "$state/build" ] || echo "build $(cat "$state/build")"
        echo "id sha256:$name $(cat "$state/image-$name")"
      done ;;
    esac ;;
  esac ;;
curl)
  # A drain goes on the first time it is looked at, and is over the second time.
  case $last in
  http://leader*/slaves\?slave_id=id-S1)
    now=$(cat "$state/drain" 2>/dev/null || :)
    printf '{"slaves":[{"id":"id-S1","pid":"slave(1)@10.0.1.1:5051","drain_info":{"state":"%s"}}]}\n200' "$now"
    [ "$now" != DRAINING ] || echo DRAINED > "$state/drain"
    exit 0 ;;
  http://leader*/api/v1)
    case $* in
    *DRAIN_AGENT*'"agent_id":{"value":"id-S1"},"max_grace_period":{"seconds":60}'*)
      echo DRAINING > "$state/drain" ;;
    *DEACTIVATE_AGENT*'"deactivate_agent":{"agent_id":{"value":"id-S1"}}'*)
      echo DEACTIVATED > "$state/drain" ;;
    *MARK_AGENT_GONE*'"mark_agent_gone":{"agent_id":{"value":"id-S1"}}'*)
      echo GONE > "$state/drain" ;;
    *'"reactivate_agent":{"agent_id":{"value":"id-S1"}}'*)
      [ "$(cat "$state/drain")" != DRAINING ] || { printf 'too early\n400'; exit 0; }
      rm "$state/drain" ;;
    *) printf 'Unknown agent\n400'; exit 0 ;;
    esac
    printf '\n200'; exit 0 ;;
  http://*/slaves\?* | http://*/api/v1) printf '\n307'; exit 0 ;;
  esac
  put= code= body=
  for word; do
    [ "${before:-}" != -d ] || body=$word
    case $word in
    PUT) put=1 ;;
    http://leader*/weights) urls="${urls:-} 200" ;;
    http://*/weights) urls="${urls:-} 307" ;;
    http://files/*) cp "$ROOM/served" "$target"; printf 200; exit 0 ;;
    http://leader*/quota | http://leader*/maintenance/*) echo '{}' > "$target"; printf 200; exit 0 ;;
    esac
    [ "${before:-}" != -o ] || target=$word
    [ "${before:-}" != -w ] || code=$word
    before=$word
  done
  case $put$code in
  1*) printf '%s' "$body" > "$state/weights"; printf 200 ;;
  '') cat "$state/weights" ;;
  '%{http_code}')
    [ "$target" = /dev/null ] || cat "$state/weights" > "$target"
    printf '%s' "${urls# }" ;;
  *)
    for url in $urls; do
      [ "$url" != 200 ] || cat "$state/weights" 2>/dev/null || printf '[]'
      printf '\n%s' "$url"
    done ;;
  esac ;;
esac
