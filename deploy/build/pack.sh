#!/bin/sh
# Pack what an image build needs of the last commit into deploy/build/source.tar.gz: small enough for a ConfigMap (1 MB).
set -e
cd "$(dirname "$0")/../.."
git archive HEAD Containerfile pyproject.toml README.md LICENSE requirements/build.lock requirements/image.lock \
    requirements/envoy.lock deploy/images/hub src/nbhub | gzip -9 >deploy/build/source.tar.gz
