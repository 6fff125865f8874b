# syntax=docker/dockerfile:1
# Nearcast as a container image: any role, as an ordinary user, with ffmpeg inside.
#
#   docker build -t nearcast .
#   docker run nearcast edge --config /etc/nearcast/edge.yaml
ARG NODE_IMAGE=node:26-bookworm-slim

# The web pages, built with the development packages.
FROM ${NODE_IMAGE} AS web
WORKDIR /app
COPY package.json package-lock.json ./
COPY scripts scripts
RUN npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
COPY tsconfig.json ./
COPY common common
COPY web web
RUN node scripts/setup.mjs packages web

# The packages that run. The optional ones are a Node for other machines: the image has its own.
FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error

FROM ${NODE_IMAGE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends ffmpeg \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --user-group --home-dir /var/lib/nearcast --no-create-home --shell /usr/sbin/nologin nearcast \
 && install -d -o nearcast -g nearcast -m 750 /var/lib/nearcast \
 && install -d -o nearcast -g nearcast -m 750 /run/cluster \
 && ln -s /app/bin/nearcast.mjs /usr/local/bin/nearcast
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY package.json LICENSE ./
COPY scripts scripts
COPY config config
COPY media media
COPY common common
COPY bin bin
COPY edge edge
COPY origin origin
COPY coordinator coordinator
COPY --from=web /app/web/dist web/dist
ENV NODE_ENV=production
USER nearcast
VOLUME /var/lib/nearcast
STOPSIGNAL SIGTERM
# Every role has its admin listener on loopback, port 9101 unless configured.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "/app/scripts/healthcheck.mjs"]
ENTRYPOINT ["node", "/app/bin/nearcast.ts"]
CMD ["--help"]
