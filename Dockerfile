# The controllers, each as an image with nothing but its binary and the CA certificates:
#   docker build --target source-controller --tag ferroflux/source-controller:v0.1.0 .
#   docker build --target kustomize-controller --tag ferroflux/kustomize-controller:v0.1.0 .
#   docker build --target helm-controller --tag ferroflux/helm-controller:v0.1.0 .
#   docker build --target source-watcher --tag ferroflux/source-watcher:v0.1.0 .

# Another one: --build-arg RUST_IMAGE=rust:1.95-slim-bookworm@sha256:...
ARG RUST_IMAGE=rust:1.95-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082
FROM ${RUST_IMAGE} AS build
# What the log says at the start: --build-arg SOURCE_REVISION=$(git rev-parse HEAD)
ARG SOURCE_REVISION
WORKDIR /src
COPY . .
# The C library is linked in, so that the image needs none.
RUN target="$(uname -m)-unknown-linux-gnu" \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile dist --target "$target" \
      -p source-controller -p kustomize-controller -p helm-controller -p source-watcher --bins \
 && install -D -t /out "target/$target/dist/source-controller" "target/$target/dist/kustomize-controller" \
      "target/$target/dist/helm-controller" "target/$target/dist/source-watcher"

FROM scratch AS source-controller
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/source-controller /
USER 65534:65534
ENTRYPOINT ["/source-controller"]

FROM scratch AS kustomize-controller
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/kustomize-controller /
USER 65534:65534
ENTRYPOINT ["/kustomize-controller"]

FROM scratch AS helm-controller
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/helm-controller /
USER 65534:65534
ENTRYPOINT ["/helm-controller"]

FROM scratch AS source-watcher
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/source-watcher /
USER 65534:65534
ENTRYPOINT ["/source-watcher"]
