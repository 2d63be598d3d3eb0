# Set-up shared by the scripts beside this file, which source it from the top of the repository.
# It says what it installs, installs nothing that is there, and on a second run does nothing.

say() { printf '== %s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

# Where the first argument asks for help: print the comment at the head of the script, and end.
help_where_asked() {
    case "${1:-}" in
    -h | --help) ;;
    *) return 0 ;;
    esac
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "scripts/${0##*/}"
    exit
}

# Find a Python that can make virtual environments, in $python.
find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            "$python" -c 'import ensurepip, venv' 2>/dev/null ||
                fail "python3-venv is missing; install it with: sudo apt-get install -y python3-venv"
            return
        fi
    done
    fail "Python 3.11 or newer is missing; install it with: sudo apt-get install -y python3 python3-venv"
}

# Make .venv hold this project and its packages. $1: run (to use it), dev (to test it too), or
# mutation. Every file that is fetched has a hash in the constraints of that, and no other is taken.
set_up_venv() {
    local group=$1 versions wanted have stamp=.venv/.set-up
    case $group in
    dev) versions=constraints.txt ;;
    *) versions=constraints-$group.txt ;;
    esac
    find_python
    wanted="$group $("$python" -c '
import hashlib, pathlib, sys
print(sys.version.split()[0], pathlib.Path.cwd(),
      *(hashlib.sha256(pathlib.Path(name).read_bytes()).hexdigest() for name in sys.argv[1:]))
' pyproject.toml constraints.txt constraints-run.txt constraints-vcon.txt)"
    have=$(cat "$stamp" 2>/dev/null || true)
    # What serves for testing serves for running.
    if [ "$have" = "$wanted" ]; then return; fi
    if [ "$group" = run ] && [ "$have" = "dev ${wanted#* }" ]; then return; fi
    if ! .venv/bin/python -c '' 2>/dev/null; then
        say "making a virtual environment in .venv"
        "$python" -m venv --clear .venv || fail ".venv cannot be made in $PWD"
    fi
    say "installing the Python packages of $versions into .venv, and this project"
    local install=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
    "${install[@]}" --require-hashes --requirement "$versions"
    if [ "$group" = dev ]; then
        # Its metadata ask for a newer Python than it needs (pyproject.toml).
        "${install[@]}" --require-hashes --no-deps --ignore-requires-python \
            --requirement constraints-vcon.txt
    fi
    # The project has no hash. What it is built with has been installed by hash above.
    "${install[@]}" --no-deps --no-build-isolation --editable .
    .venv/bin/python -m pip check >/dev/null || fail "$versions lacks a package: run scripts/pin --keep"
    printf '%s' "$wanted" >"$stamp"
}

# Install system packages that are not there. Each argument: <package>:<a program of it>.
set_up_system() {
    local entry missing=()
    for entry in "$@"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "${entry#*:}" >/dev/null || missing+=("${entry%%:*}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
    local mend="${as_root[*]:+sudo }apt-get install -y ${missing[*]}"
    command -v apt-get >/dev/null || fail "missing on this system: ${missing[*]} (on Debian: $mend)"
    if [ ${#as_root[@]} -gt 0 ] && ! command -v sudo >/dev/null; then
        fail "missing: ${missing[*]}; install them as root with: apt-get install -y ${missing[*]}"
    fi
    say "installing the system packages ${missing[*]} (no service of theirs is started)"
    "${as_root[@]}" bash -c "$(declare -f install_without_starting)"'; install_without_starting "$@"' \
        install "${missing[@]}" || fail "could not install them; try: $mend"
}

# As root: install packages while a policy forbids that their services start (exit code 101).
install_without_starting() {
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

# Print the Debian mirrors that this machine uses, one a line.
debian_mirrors() {
    sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true
    sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' /etc/apt/sources.list 2>/dev/null || true
}
