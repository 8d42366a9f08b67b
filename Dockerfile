# The controllers, each as an image with nothing but its binary and the CA certificates:
#   docker build --target source-controller --tag ferroflux/source-controller:v0.1.0 .
#   docker build --target kustomize-controller --tag ferroflux/kustomize-controller:v0.1.0 .
#   docker build --target helm-controller --tag ferroflux/helm-controller:v0.1.0 .
#   docker build --target source-watcher --tag ferroflux/source-watcher:v0.1.0 .
# What the labels say of the sources: --build-arg SOURCE_REVISION=$(git rev-parse HEAD) --build-arg SOURCE_URL=https://...

# Another one: --build-arg RUST_IMAGE=rust:1.95-slim-bookworm@sha256:...
ARG RUST_IMAGE=rust:1.95-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082
FROM ${RUST_IMAGE} AS build
# The log says it at the start, too.
ARG SOURCE_REVISION
WORKDIR /src
COPY . .
# The C library is linked in, so that the image needs none. What only LLVM's linker knows is for where Rust brings it.
RUN target="$(uname -m)-unknown-linux-gnu" \
 && if [ "$(uname -m)" = x86_64 ]; then fold=-Clink-arg=-Wl,--icf=all; fi \
 && RUSTFLAGS="-Ctarget-feature=+crt-static -Clink-arg=-Wl,-z,pack-relative-relocs ${fold:-}" cargo build --locked --profile dist --target "$target" \
      -p source-controller -p kustomize-controller -p helm-controller -p source-watcher --bins \
 && install -D -t /out "target/$target/dist/source-controller" "target/$target/dist/kustomize-controller" \
      "target/$target/dist/helm-controller" "target/$target/dist/source-watcher"

FROM scratch AS source-controller
ARG SOURCE_REVISION
ARG SOURCE_URL
LABEL org.opencontainers.image.title="source-controller" \
      org.opencontainers.image.description="Fetches sources and serves them as artifacts." \
      org.opencontainers.image.version="v0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${SOURCE_REVISION}" \
      org.opencontainers.image.source="${SOURCE_URL}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/source-controller /
USER 65534:65534
ENTRYPOINT ["/source-controller"]

FROM scratch AS kustomize-controller
ARG SOURCE_REVISION
ARG SOURCE_URL
LABEL org.opencontainers.image.title="kustomize-controller" \
      org.opencontainers.image.description="Builds kustomizations and keeps clusters equal to them." \
      org.opencontainers.image.version="v0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${SOURCE_REVISION}" \
      org.opencontainers.image.source="${SOURCE_URL}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/kustomize-controller /
USER 65534:65534
ENTRYPOINT ["/kustomize-controller"]

FROM scratch AS helm-controller
ARG SOURCE_REVISION
ARG SOURCE_URL
LABEL org.opencontainers.image.title="helm-controller" \
      org.opencontainers.image.description="Keeps releases of Helm charts as HelmReleases say." \
      org.opencontainers.image.version="v0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${SOURCE_REVISION}" \
      org.opencontainers.image.source="${SOURCE_URL}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/helm-controller /
USER 65534:65534
ENTRYPOINT ["/helm-controller"]

FROM scratch AS source-watcher
ARG SOURCE_REVISION
ARG SOURCE_URL
LABEL org.opencontainers.image.title="source-watcher" \
      org.opencontainers.image.description="Composes artifacts of the files of sources and serves them." \
      org.opencontainers.image.version="v0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${SOURCE_REVISION}" \
      org.opencontainers.image.source="${SOURCE_URL}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/source-watcher /
USER 65534:65534
ENTRYPOINT ["/source-watcher"]
