# syntax=docker/dockerfile:1
# The image for those who have a container engine; docs/image.md says how to build it, with and without.

FROM rust:1.95.0-bookworm AS build
WORKDIR /checkout
COPY . .
RUN --mount=type=cache,target=/build --mount=type=cache,target=/usr/local/cargo/registry \
    install -D "$(image/binary /build)" /image/migration-warden

FROM scratch
LABEL org.opencontainers.image.title="migration-warden" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.description="Admission webhook, controller and CLI that keep Helm hook schema migrations safe on Kubernetes"
COPY --from=build /image/migration-warden /migration-warden
USER 65532:65532
ENTRYPOINT ["/migration-warden"]
