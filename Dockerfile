# One static binary in an empty image, for a user without rights.
#
#   docker build -t stent .
#   docker run -p 8080:8080 -v "$PWD/proxy.yaml:/etc/stent/proxy.yaml:ro" stent
#
# Give it more than the 30 seconds it may take to finish what is in flight: docker stop --time 35.

FROM rust:1.95.0-alpine AS build
# For the allocator, the hash and the signatures of tokens, which are C and assembly.
RUN apk add --no-cache build-base linux-headers
WORKDIR /build
COPY . .
# The toolchain of this image is for musl, which is linked statically.
RUN cargo build --release --locked --bin stent

FROM scratch
COPY --from=build /build/target/release/stent /stent
COPY --from=build /build/proxy.yaml /etc/stent/proxy.yaml
# A container's own loopback cannot be reached from outside. The admin stays on it: beyond, it demands tokens.
ENV STENT_LISTEN=0.0.0.0:8080
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=4s --start-period=2s --retries=3 \
    CMD ["/stent", "healthcheck", "--config", "/etc/stent/proxy.yaml"]
ENTRYPOINT ["/stent"]
CMD ["run", "--config", "/etc/stent/proxy.yaml"]
