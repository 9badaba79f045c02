# The sidecar, its init container and its webhook: one image, three commands.
#
#   docker build -t sidecar .       podman build -t sidecar .       buildah bud -t sidecar .
#
# It runs as 1337, on a root that may be read-only, and needs no shell. The init
# container (`sidecar redirect apply`) is the same image, started as root.
#
# deploy/k8s/image.md says what is in it, how large it is and how it is reproduced.
ARG BASE=debian:bookworm-slim

# --- what is installed -----------------------------------------------------------
FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3.11-venv

# pip lives in /build and works on /opt/sidecar, which stays without it.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements /src/requirements
RUN python3.11 -m venv /build \
    && python3.11 -m venv --without-pip /opt/sidecar \
    && /build/bin/pip install \
        --only-binary :all: --require-hashes -r /src/requirements/build.txt \
    && /build/bin/pip --python /opt/sidecar/bin/python install --no-compile \
        --only-binary :all: --require-hashes -r /src/requirements/image.txt

ARG SOURCE_DATE_EPOCH
COPY LICENSE README.md pyproject.toml /src/
COPY sidecar /src/sidecar
# Without the tests that some packages bring along.
# Compiled here: nothing is written when it runs. The bytecode goes by no file's date,
# and in an image nothing changes, so it is not compared with its source again.
RUN /build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheels /src \
    && /build/bin/pip --python /opt/sidecar/bin/python install --no-compile \
        --no-index --no-deps --find-links /wheels sidecar \
    && find /opt/sidecar -type d -name _tests -prune -exec rm -r {} + \
    && PYTHONHASHSEED=0 /opt/sidecar/bin/python -m compileall -q -f \
        --invalidation-mode unchecked-hash /opt/sidecar/lib \
    && rm -r /opt/sidecar/include /opt/sidecar/bin/[Aa]ctivate*

# --- the image -------------------------------------------------------------------
FROM ${BASE}
# The interpreter and its library; iptables for both families, nft and legacy; and ip,
# for what iptables cannot do of TPROXY.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        iproute2 iptables libpython3.11-stdlib python3.11-minimal \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* \
    && mkdir /etc/sidecar
COPY --from=build /opt/sidecar /opt/sidecar

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="sidecar" \
    org.opencontainers.image.description="A per-pod mTLS proxy for a service mesh" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"

ENV PATH=/opt/sidecar/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /etc/sidecar
# Numbers, so that a cluster can tell that this is not root (runAsNonRoot).
USER 1337:1337
EXPOSE 15001 15006 15017 15020
ENTRYPOINT ["sidecar"]
