// Every setting of every role: one zod schema feeds the parser, the error messages, the JSON Schema for
// editors and the settings page of the docs. Durations and sizes carry their unit in the name.
import { z } from 'zod'
import { nodeIdSchema, type roleSchema } from '../common/contract/membership.ts'
import { isNetwork } from '../common/net/allowed-networks.ts'
import { edgeCache, gatewayCache } from './cache-settings.ts'

const port = z.int().min(0).max(65_535).describe('TCP port; 0 takes a free one')
const host = z.string().min(1)
const httpUrl = z.url({ protocol: /^https?$/ }).meta({ examples: ['https://host:443'] })
const rtmpUrl = z.url({ protocol: /^rtmps?$/ }).meta({ examples: ['rtmps://host:443/live'] })
/** Relative paths are taken from the folder of the config file: the loader finds them by this mark. */
const filePath = z.string().min(1).meta({ format: 'path' })
/** A name, or a path where it has a slash in it. */
const nameOrPath = z.string().min(1).meta({ format: 'name-or-path' })
const cidrs = z.array(
  z.string().refine(isNetwork, { message: 'a network such as 10.0.0.0/8 or fc00::/7' }),
)
const privateNetworks = [
  '127.0.0.0/8',
  '::1/128',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  'fc00::/7',
  'fe80::/10',
]

const node = z
  .strictObject({
    id: nodeIdSchema.describe('Unique name of this node in the cluster'),
    region: z.string().nullable().default(null).describe('Region shown to operators, e.g. eu-west'),
    latitude: z.number().min(-90).max(90).nullable().default(null).describe('Degrees north'),
    longitude: z.number().min(-180).max(180).nullable().default(null).describe('Degrees east'),
    weight: z.number().min(0).default(1).describe('Share of new streams; 0 takes none'),
  })
  .describe('Who this node is and where it stands')

const log = z
  .strictObject({
    level: z
      .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
      .default('info')
      .describe('Least severe line that is written'),
    format: z
      .enum(['auto', 'json', 'pretty'])
      .default('auto')
      .describe('auto: pretty on a terminal'),
  })
  .prefault({})
  .describe('Logs go to standard error')

const admin = z
  .strictObject({
    host: host.default('127.0.0.1').describe('Address to listen on'),
    port: port.default(9101),
    token: z
      .string()
      .min(16)
      .optional()
      .describe('Bearer that changes need where the listener is not on loopback; prefer tokenFile'),
    tokenFile: filePath.optional().describe('File that holds that bearer'),
  })
  .prefault({})
  .describe('Admin listener: metrics, readiness, reload, drain, purge. Keep it on loopback')

const secretMinimum = 32
const cluster = z
  .strictObject({
    coordinator: httpUrl.describe(
      'Base URL of the coordinator, e.g. https://coordinator.internal:7000',
    ),
    secret: z.string().min(secretMinimum).optional().describe('Cluster secret; prefer secretFile'),
    secretFile: filePath.optional().describe('File that holds the cluster secret'),
  })
  .refine((value) => value.secret !== undefined || value.secretFile !== undefined, {
    message: 'needs secretFile (or secret)',
  })
  .describe('How this node joins the cluster')

const listener = (defaultPort: number) =>
  z.strictObject({
    host: host.default('::').describe('Address to listen on; :: is all of IPv6 and IPv4'),
    port: port.default(defaultPort),
  })

const common = {
  node,
  dataDir: filePath.default('/var/lib/nearcast').describe('All state of this node goes below it'),
  log,
  admin,
}

const admission = z
  .strictObject({
    exempt: cidrs
      .default(['127.0.0.0/8', '::1/128'])
      .describe('Limits per address do not apply to these'),
    address: z
      .strictObject({
        connections: z.int().positive().default(1_000).describe('Connections at once'),
        handshakesPerSecond: z
          .number()
          .positive()
          .default(50)
          .describe('New connections a second, after a burst of four times as many'),
        streams: z.int().positive().default(50).describe('Publishers at once'),
        bitsPerSecond: z
          .number()
          .positive()
          .default(1_000_000_000)
          .describe('Published together; above it no publisher is taken in addition'),
      })
      .prefault({})
      .describe('For one IPv4 address, or one IPv6 /64'),
    key: z
      .strictObject({
        streams: z.int().positive().default(4).describe('Publishers at once, takeovers among them'),
        publishesPerSecond: z
          .number()
          .positive()
          .default(1)
          .describe('Tries a second, after a burst of ten'),
        bitsPerSecond: z
          .number()
          .positive()
          .default(100_000_000)
          .describe('A stream above it for ten seconds is ended'),
      })
      .prefault({})
      .describe('For one stream key'),
    node: z
      .strictObject({
        handshakesPerSecond: z
          .number()
          .positive()
          .default(1_000)
          .describe('New connections a second; more wait up to five seconds'),
        streams: z.int().positive().default(2_000).describe('Publishers at once'),
        bitsPerSecond: z
          .number()
          .positive()
          .default(10_000_000_000)
          .describe('Published together; above it no publisher is taken in addition'),
      })
      .prefault({})
      .describe('For this node as a whole'),
    guessing: z
      .strictObject({
        failuresPerMinute: z
          .int()
          .positive()
          .default(10)
          .describe('Wrong keys of an address; from half of them on answers come later'),
        banMs: z.int().positive().default(600_000).describe('An address is banned for so long'),
      })
      .prefault({})
      .describe('What becomes of those who try stream keys'),
  })
  .prefault({})
  .describe('How much of this POP an address or a key may take')

const mutualTlsFiles = {
  certFile: filePath.describe('Certificate of this node, leaf first'),
  keyFile: filePath.describe('Its private key'),
  caFile: filePath.describe('The authority whose certificates are believed, and no other'),
}

export const edgeConfigSchema = z.strictObject({
  role: z.literal('edge').describe('What this node does'),
  ...common,
  cluster,
  publicUrls: z
    .strictObject({
      https: httpUrl.optional().describe('Base URL for viewers'),
      http: httpUrl.optional().describe('Base URL for viewers without TLS'),
      rtmps: rtmpUrl.optional().describe('Server URL for publishers, with the application /live'),
    })
    .prefault({})
    .describe(
      'URLs that the outside world uses for this POP; derived from host names where absent',
    ),
  tls: listener(443)
    .extend({
      certificates: z
        .array(
          z.strictObject({
            certFile: filePath.describe('Certificate chain, leaf first'),
            keyFile: filePath.describe('Private key of the leaf'),
          }),
        )
        .default([])
        .describe('PEM files, chosen by server name; the first one is the default'),
      localCa: z
        .strictObject({
          enabled: z.boolean().default(true).describe('Off: certificate files are required'),
          names: z
            .array(z.string())
            .default(['localhost', '127.0.0.1', '::1'])
            .describe('Host names and addresses in its certificate'),
          dir: filePath.optional().describe('Folder of the CA; default ca below dataDir'),
        })
        .prefault({})
        .describe('Without certificate files a local CA makes one for these names'),
      http2: z
        .boolean()
        .default(true)
        .describe('Offer HTTP/2 beside HTTP/1.1; small answers cost more by it, the others less'),
    })
    .prefault({})
    .describe('The one TLS port: RTMPS, HTTPS and HTTP/2'),
  http: listener(80)
    .extend({ enabled: z.boolean().default(true).describe('Listen at all') })
    .prefault({})
    .describe('Plain HTTP for viewers'),
  rtmp: listener(1935)
    .extend({ enabled: z.boolean().default(false).describe('Listen at all') })
    .prefault({})
    .describe('Plain RTMP for publishers; keys travel in the clear'),
  upstream: z
    .strictObject({
      allowPlain: z
        .boolean()
        .default(false)
        .describe('Allow plain connections to gateways at public addresses'),
      connectTimeoutMs: z.int().positive().default(3_000).describe('For a connection upstream'),
      waitTargetDurations: z
        .number()
        .positive()
        .default(3)
        .describe('How long an upstream answer may take, in target durations of 4 s'),
      mutualTls: z
        .strictObject(mutualTlsFiles)
        .optional()
        .describe('Where set, gateways are reached by mutual TLS only'),
    })
    .prefault({})
    .describe('Connections to gateways'),
  ingest: z
    .strictObject({
      firstByteTimeoutMs: z
        .int()
        .positive()
        .default(10_000)
        .describe('From accept to the first byte'),
      publishTimeoutMs: z.int().positive().default(10_000).describe('From connect to publish'),
      idleTimeoutMs: z
        .int()
        .positive()
        .default(8_000)
        .describe('Publisher silent for so long is gone'),
      refusalMemoryMs: z
        .int()
        .nonnegative()
        .default(15_000)
        .describe('A refused key hears the same reason for so long'),
      maxConnections: z.int().positive().default(10_000).describe('Publisher connections at once'),
    })
    .prefault({})
    .describe('Limits for publishers'),
  admission,
  trustedProxies: cidrs
    .default([])
    .describe('Load balancers that put a PROXY protocol header (1 or 2) before each connection'),
  cache: edgeCache,
})
export type EdgeConfig = z.infer<typeof edgeConfigSchema>

export const gatewayConfigSchema = z.strictObject({
  role: z.literal('gateway').describe('What this node does'),
  ...common,
  cluster,
  publicUrl: httpUrl.optional().describe('URL by which edges reach this gateway'),
  listen: listener(80).prefault({}).describe('One port for RTMP and HTTP from edges'),
  mutualTls: listener(443)
    .extend({
      publicUrl: httpUrl.optional().describe('https:// URL by which edges reach this port'),
      ...mutualTlsFiles,
    })
    .optional()
    .describe('Where set, a second port for edges that show a certificate of the authority'),
  trustedNetworks: cidrs
    .default(privateNetworks)
    .describe('Peers from here are let in; others need the cluster credential'),
  ingest: z
    .strictObject({
      firstByteTimeoutMs: z
        .int()
        .positive()
        .default(10_000)
        .describe('From accept to the first byte'),
      publishTimeoutMs: z.int().positive().default(10_000).describe('From connect to publish'),
      connectTimeoutMs: z.int().positive().default(3_000).describe('For a connection upstream'),
      idleTimeoutMs: z
        .int()
        .positive()
        .default(10_000)
        .describe('An edge silent for so long is gone'),
    })
    .prefault({})
    .describe('Limits for publishers'),
  cache: gatewayCache,
  home: z
    .strictObject({
      memoryBytes: z
        .int()
        .positive()
        .optional()
        .describe(
          'Live windows of the streams that are relayed here, together; a quarter of the memory where not set. Over it the newest is served from its transcoder until there is room',
        ),
    })
    .prefault({})
    .describe('Streams whose home is this gateway'),
})
export type GatewayConfig = z.infer<typeof gatewayConfigSchema>

export const transcoderConfigSchema = z.strictObject({
  role: z.literal('transcoder').describe('What this node does'),
  ...common,
  cluster,
  publicUrl: httpUrl.optional().describe('URL by which gateways fetch from this transcoder'),
  publicRtmp: rtmpUrl.optional().describe('rtmp:// URL by which gateways publish to it'),
  http: listener(8101).prefault({}).describe('Segments and manifests for gateways'),
  rtmp: listener(1936)
    .prefault({})
    .describe('RTMP receiver for gateways; never face a client with it'),
  trustedNetworks: cidrs
    .default(privateNetworks)
    .describe('Peers from here are let in; others need the cluster credential'),
  ffmpeg: nameOrPath.default('ffmpeg').describe('Command or path'),
  ffprobe: nameOrPath.default('ffprobe').describe('Command or path'),
  ladder: nameOrPath
    .default('default')
    .describe('Name of a ladder in config/ladders, or the path of a ladder file'),
  input: z
    .strictObject({
      maxWidth: z.int().positive().default(3840).describe('Pixels'),
      maxHeight: z.int().positive().default(2160).describe('Pixels'),
      maxFramesPerSecond: z.number().positive().default(120).describe('Frames per second'),
      maxBitsPerSecond: z
        .number()
        .positive()
        .default(50_000_000)
        .describe('Audio and video together'),
      maxKeyframeIntervalSeconds: z
        .number()
        .positive()
        .default(10)
        .describe('From one keyframe to the next'),
      minSampleRate: z.int().positive().default(8_000).describe('Hz'),
      maxSampleRate: z.int().positive().default(96_000).describe('Hz'),
      maxChannels: z.int().positive().default(8).describe('Audio channels'),
      trackWaitMs: z.int().positive().default(1_500).describe('Wait for the second track so long'),
    })
    .prefault({})
    .describe('What a publisher may send'),
  segmentSeconds: z
    .number()
    .min(1)
    .max(10)
    .default(2)
    .describe('Shortest segment; as many keyframe intervals as it takes to get there'),
  partSeconds: z
    .number()
    .min(0.1)
    .max(2)
    .default(0.5)
    .describe(
      'Length of the parts of low-latency playback; shorter is nearer to live and costs more requests',
    ),
  targetDurationSeconds: z
    .int()
    .min(2)
    .max(20)
    .default(4)
    .describe(
      'Target duration of playlists; a segment that would outgrow it is cut at keyframes of our own',
    ),
  windowSegments: z.int().min(3).default(6).describe('Segments that a live playlist lists'),
  holdMs: z.int().nonnegative().default(60_000).describe('Wait for a publisher to come back'),
  stallMs: z
    .int()
    .positive()
    .default(10_000)
    .describe('ffmpeg without progress so long is restarted'),
  maxStreams: z.int().positive().default(32).describe('Streams at once'),
})
export type TranscoderConfig = z.infer<typeof transcoderConfigSchema>

export const coordinatorConfigSchema = z.strictObject({
  role: z.literal('coordinator').describe('What this node does'),
  ...common,
  cluster: z
    .strictObject({
      secret: z
        .string()
        .min(secretMinimum)
        .optional()
        .describe('Cluster secret; prefer secretFile'),
      secretFile: filePath.optional().describe('File that holds the cluster secret'),
    })
    .refine((value) => value.secret !== undefined || value.secretFile !== undefined, {
      message: 'needs secretFile (or secret)',
    })
    .describe('What the nodes of the cluster share'),
  listen: z
    .strictObject({
      host: host.default('127.0.0.1').describe('Address to listen on'),
      port: port.default(7000),
    })
    .prefault({})
    .describe('API, console and the nodes of the cluster'),
  publicUrl: httpUrl.optional().describe('URL that people and nodes use'),
  adminToken: z.string().min(16).optional().describe('Bearer of the API; prefer adminTokenFile'),
  adminTokenFile: filePath
    .optional()
    .describe('File that holds the bearer; default admin-token below dataDir, made at first start'),
  database: z
    .strictObject({ file: filePath.optional().describe('Default coordinator.db below dataDir') })
    .prefault({})
    .describe('SQLite'),
  keys: z
    .strictObject({
      sealed: z
        .boolean()
        .default(false)
        .describe(
          'Also keep keys encrypted under the cluster secret, so that an owner can read one again',
        ),
    })
    .prefault({})
    .describe('Stream keys'),
  placement: z
    .strictObject({
      leaseTtlMs: z
        .int()
        .positive()
        .default(6_000)
        .describe('A lease that is not renewed ends after so long'),
      holdMs: z
        .int()
        .nonnegative()
        .default(60_000)
        .describe('A channel keeps its transcoder so long after its publisher left'),
      loadFactor: z.number().min(1).default(1.25).describe('Bounded load: cap over the mean'),
      vnodes: z
        .int()
        .positive()
        .default(128)
        .describe('Points of a transcoder of weight 1 on the ring'),
    })
    .prefault({})
    .describe('Which transcoder a channel gets'),
  heartbeat: z
    .strictObject({
      intervalMs: z.int().positive().default(2_000).describe('Nodes report so often'),
      missed: z.int().positive().default(3).describe('A node is gone after so many missed beats'),
    })
    .prefault({})
    .describe('How nodes tell that they are there'),
})
export type CoordinatorConfig = z.infer<typeof coordinatorConfigSchema>

export const configSchema = z.discriminatedUnion('role', [
  edgeConfigSchema,
  gatewayConfigSchema,
  transcoderConfigSchema,
  coordinatorConfigSchema,
])
export type Config = z.infer<typeof configSchema>
export type ConfigRole = z.infer<typeof roleSchema>
