# What the job runs: unpack, build, push, look at what was pushed.
set -e
mkdir -p /build/source
tar -xzf /source/source.tar.gz -C /build/source
if [ -f /registry/.dockerconfigjson ]; then export REGISTRY_AUTH_FILE=/registry/.dockerconfigjson; fi

set --
for name in BASE VERSION REVISION SOURCE PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_DEFAULT_TIMEOUT; do
    eval "value=\${$name:-}"
    if [ -n "$value" ]; then set -- "$@" --build-arg "$name=$value"; fi
done
# With the time given, the same source makes the same image to the last byte.
if [ -n "${CREATED:-}" ]; then set -- "$@" --timestamp "$CREATED"; fi
if [ -f /certificates/ca.crt ]; then
    bundle=/etc/ssl/certs/ca-certificates.crt
    set -- "$@" --volume "/certificates/ca.crt:$bundle:ro" --build-arg "PIP_CERT=$bundle"
fi

buildah --storage-driver vfs build --isolation chroot --layers=false --tls-verify="${TLS_VERIFY:-true}" \
    --target "${TARGET:-hub}" "$@" --tag "$DESTINATION" /build/source
buildah --storage-driver vfs push --tls-verify="${TLS_VERIFY:-true}" "$DESTINATION" "docker://$DESTINATION"
if command -v skopeo >/dev/null; then skopeo inspect --tls-verify="${TLS_VERIFY:-true}" "docker://$DESTINATION"; fi
