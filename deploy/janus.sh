#!/bin/sh
# Starts Janus with its API secret out of the environment: a command line can be read by everybody
# on the host. The configuration includes what is written here.
set -eu
umask 077
case "${JANUS_API_SECRET:?see docs/how-to/deployment.md}" in
    *[!A-Za-z0-9_.-]*) echo "JANUS_API_SECRET: letters, digits, _, . and - only" >&2; exit 1 ;;
esac
printf 'api_secret = "%s"\n' "$JANUS_API_SECRET" > "$HOME/api_secret.jcfg"
unset JANUS_API_SECRET
exec janus -F "${JANUS_FOLDER:-/etc/janus}" -C "${JANUS_FOLDER:-/etc/janus}/janus.jcfg" -o "$@"
