#!/usr/bin/env bash
# Makes a checkout ready on a fresh Debian or Ubuntu: distribution packages where missing, then .venv from the pins.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m== %s\033[0m\n' "$*"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else echo "This needs root once: $*" >&2; exit 1
    fi
}

has_postgis() { compgen -G '/usr/share/postgresql/*/extension/postgis.control' >/dev/null; }

# A python that is new enough: $PYTHON, python3 or a versioned one.
find_python() {
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            command -v "$candidate"
            return
        fi
    done
}

packages=()
if [ -z "${PAVEMAP_DATABASE_URL:-}" ] || [ -n "${CI:-}" ]; then
    has_postgis || packages+=(postgresql postgresql-postgis)
fi
python=$(find_python)
[ -n "$python" ] || packages+=(python3)
[ -n "$python" ] && "$python" -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
ldconfig -p 2>/dev/null | grep -q 'libexpat\.so\.1' || packages+=(libexpat1)
command -v setpriv >/dev/null || packages+=(util-linux)

if [ ${#packages[@]} -gt 0 ]; then
    say "installing ${packages[*]}"
    command -v apt-get >/dev/null || {
        echo "No apt-get here: install PostgreSQL with PostGIS and Python 3.11 or newer, then run this again." >&2
        exit 1
    }
    # Debian's package makes and starts a cluster of its own on port 5432; pavemap does not use it.
    distribution() {
        as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
    }
    as_root true # asks for a password now, if it must
    distribution &
    installing=$! # the database's packages come while pip works, but pip needs a python
    case " ${packages[*]} " in *" python3"*) wait "$installing"; installing=; python=$(find_python) ;; esac
fi
[ -n "$python" ] || { echo "Python 3.11 or newer is needed; set PYTHON to one." >&2; exit 1; }

[ -x .venv/bin/pip ] || { say "making .venv with $("$python" --version)"; "$python" -m venv .venv; }
say "installing the pinned packages into .venv (some minutes the first time)"
export PIP_CONSTRAINT="$PWD/constraints.txt" PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_CACHE_DIR="${PIP_CACHE_DIR:-$PWD/.cache/home/pip}" # nothing is written outside the checkout
# Without --no-compile pip compiles all of torch and Ray, most of which is never imported: a minute and a half.
.venv/bin/pip install --quiet --no-compile --editable '.[dev]'
[ -z "${installing:-}" ] || wait "$installing"
touch .venv/.ready
