#!/bin/sh
# pack.sh [FILE]: pack what an image build needs of this checkout, small enough for a ConfigMap (1 MB). The same content
# makes the same file.
set -e
file=${1:-$(dirname "$0")/source.tar.gz}
case $file in /*) ;; *) file=$PWD/$file ;; esac
cd "$(dirname "$0")/../.."
tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    --exclude=__pycache__ --exclude='*.pyc' \
    Containerfile pyproject.toml README.md LICENSE requirements/build.lock requirements/image.lock \
    requirements/envoy.lock deploy/images/hub src/nbhub | gzip -9n >"$file"
