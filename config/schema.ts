// Every setting of every role: one zod schema feeds the parser, the error messages, the JSON Schema for
// editors and the settings page of the docs. Durations and sizes carry their unit in the name.
import { isIP } from 'node:net'
import { z } from 'zod'
import { nodeIdSchema, type roleSchema } from '../common/contract/membership.ts'

const port = z.int().min(0).max(65_535).describe('TCP port; 0 takes a free one')
const host = z.string().min(1)
const httpUrl = z.url({ protocol: /^https?$/ }).meta({ examples: ['https://host:443'] })
const rtmpUrl = z.url({ protocol: /^rtmps?$/ }).meta({ examples: ['rtmps://host:443/live'] })
/** Relative paths are taken from the folder of the config file: the loader finds them by this mark. */
const filePath = z.string().min(1).meta({ format: 'path' })
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

function isNetwork(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return (
    bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
  )
}

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
    level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
    format: z
      .enum(['auto', 'json', 'pretty'])
      .default('auto')
      .describe('auto: pretty on a terminal'),
  })
  .prefault({})
  .describe('Logs go to standard error')

const admin = z
  .strictObject({
    host: host.default('127.0.0.1'),
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
    coordinator: httpUrl.describe('Base URL of the coordinator, e.g. https://10.0.0.1:7000'),
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

export const edgeConfigSchema = z.strictObject({
  role: z.literal('edge'),
  ...common,
  cluster,
  publicUrls: z
    .strictObject({
      https: httpUrl.optional(),
      http: httpUrl.optional(),
      rtmps: rtmpUrl.optional(),
    })
    .prefault({})
    .describe(
      'URLs that the outside world uses for this POP; derived from host names where absent',
    ),
  tls: listener(443)
    .extend({
      certificates: z
        .array(z.strictObject({ certFile: filePath, keyFile: filePath }))
        .default([])
        .describe('PEM files, chosen by server name; the first one is the default'),
      localCa: z
        .strictObject({
          enabled: z.boolean().default(true),
          names: z.array(z.string()).default(['localhost', '127.0.0.1', '::1']),
          dir: filePath.optional().describe('Folder of the CA; default ca below dataDir'),
        })
        .prefault({})
        .describe('Without certificate files a local CA makes one for these names'),
    })
    .prefault({})
    .describe('The one TLS port: RTMPS, HTTPS and HTTP/2'),
  http: listener(80)
    .extend({ enabled: z.boolean().default(true) })
    .prefault({})
    .describe('Plain HTTP for viewers'),
  rtmp: listener(1935)
    .extend({ enabled: z.boolean().default(false) })
    .prefault({})
    .describe('Plain RTMP for publishers; keys travel in the clear'),
  upstream: z
    .strictObject({
      allowPlain: z
        .boolean()
        .default(false)
        .describe('Allow plain connections to gateways at public addresses'),
      connectTimeoutMs: z.int().positive().default(3_000),
      waitTargetDurations: z
        .number()
        .positive()
        .default(3)
        .describe('How long an upstream answer may take, in target durations of 4 s'),
    })
    .prefault({})
    .describe('Connections to gateways'),
  ingest: z
    .strictObject({
      firstByteTimeoutMs: z.int().positive().default(10_000),
      publishTimeoutMs: z.int().positive().default(10_000).describe('From connect to publish'),
      idleTimeoutMs: z
        .int()
        .positive()
        .default(8_000)
        .describe('Publisher silent for so long is gone'),
      refusalMemoryMs: z.int().nonnegative().default(15_000),
      maxConnections: z.int().positive().default(10_000),
    })
    .prefault({}),
  cache: z
    .strictObject({
      memoryBytes: z
        .int()
        .positive()
        .default(512 * 1024 * 1024),
      maxObjectBytes: z
        .int()
        .positive()
        .default(64 * 1024 * 1024),
    })
    .prefault({}),
})
export type EdgeConfig = z.infer<typeof edgeConfigSchema>

export const gatewayConfigSchema = z.strictObject({
  role: z.literal('gateway'),
  ...common,
  cluster,
  publicUrl: httpUrl.optional().describe('URL by which edges reach this gateway'),
  listen: listener(80).prefault({}).describe('One port for RTMP and HTTP from edges'),
  trustedNetworks: cidrs
    .default(privateNetworks)
    .describe('Peers from here are let in; others need the cluster credential'),
  ingest: z
    .strictObject({
      firstByteTimeoutMs: z.int().positive().default(10_000),
      publishTimeoutMs: z.int().positive().default(10_000),
      connectTimeoutMs: z.int().positive().default(3_000),
      idleTimeoutMs: z.int().positive().default(10_000),
    })
    .prefault({}),
  cache: z
    .strictObject({
      memoryBytes: z
        .int()
        .positive()
        .default(512 * 1024 * 1024),
      maxObjectBytes: z
        .int()
        .positive()
        .default(64 * 1024 * 1024),
    })
    .prefault({}),
})
export type GatewayConfig = z.infer<typeof gatewayConfigSchema>

export const transcoderConfigSchema = z.strictObject({
  role: z.literal('transcoder'),
  ...common,
  cluster,
  publicUrl: httpUrl.optional().describe('URL by which gateways fetch from this transcoder'),
  publicRtmp: rtmpUrl.optional().describe('rtmp:// URL by which gateways publish to it'),
  http: listener(8101).prefault({}).describe('Segments and manifests for gateways'),
  rtmp: listener(1936)
    .prefault({})
    .describe('RTMP receiver for gateways; never face a client with it'),
  trustedNetworks: cidrs.default(privateNetworks),
  ffmpeg: z.string().default('ffmpeg').describe('Path of ffmpeg'),
  ffprobe: z.string().default('ffprobe').describe('Path of ffprobe'),
  ladder: z
    .string()
    .default('default')
    .describe('Name of a ladder in config/ladders, or the path of a ladder file'),
  input: z
    .strictObject({
      maxWidth: z.int().positive().default(3840),
      maxHeight: z.int().positive().default(2160),
      maxFramesPerSecond: z.number().positive().default(120),
      maxBitsPerSecond: z.number().positive().default(50_000_000),
      maxKeyframeIntervalSeconds: z.number().positive().default(10),
      minSampleRate: z.int().positive().default(8_000),
      maxSampleRate: z.int().positive().default(96_000),
      maxChannels: z.int().positive().default(8),
      trackWaitMs: z.int().positive().default(1_500).describe('Wait for the second track so long'),
    })
    .prefault({})
    .describe('What a publisher may send'),
  segmentSeconds: z.number().positive().default(2),
  windowSegments: z.int().min(3).default(6).describe('Segments that a live playlist lists'),
  holdMs: z.int().nonnegative().default(60_000).describe('Wait for a publisher to come back'),
  stallMs: z
    .int()
    .positive()
    .default(10_000)
    .describe('ffmpeg without progress so long is restarted'),
  maxStreams: z.int().positive().default(32),
})
export type TranscoderConfig = z.infer<typeof transcoderConfigSchema>

export const coordinatorConfigSchema = z.strictObject({
  role: z.literal('coordinator'),
  ...common,
  cluster: z
    .strictObject({
      secret: z.string().min(secretMinimum).optional(),
      secretFile: filePath.optional(),
    })
    .refine((value) => value.secret !== undefined || value.secretFile !== undefined, {
      message: 'needs secretFile (or secret)',
    }),
  listen: z
    .strictObject({ host: host.default('127.0.0.1'), port: port.default(7000) })
    .prefault({})
    .describe('API, console and the nodes of the cluster'),
  publicUrl: httpUrl.optional(),
  adminToken: z.string().min(16).optional().describe('Bearer of the API; prefer adminTokenFile'),
  adminTokenFile: filePath
    .optional()
    .describe('File that holds the bearer; default admin-token below dataDir, made at first start'),
  database: z
    .strictObject({ file: filePath.optional().describe('Default coordinator.db below dataDir') })
    .prefault({}),
  keys: z
    .strictObject({
      sealed: z
        .boolean()
        .default(false)
        .describe(
          'Also keep keys encrypted under the cluster secret, so that an owner can read one again',
        ),
    })
    .prefault({}),
  placement: z
    .strictObject({
      leaseTtlMs: z.int().positive().default(6_000),
      holdMs: z.int().nonnegative().default(60_000),
      loadFactor: z.number().min(1).default(1.25).describe('Bounded load: cap over the mean'),
      vnodes: z.int().positive().default(128),
    })
    .prefault({}),
  heartbeat: z
    .strictObject({
      intervalMs: z.int().positive().default(2_000),
      missed: z.int().positive().default(3).describe('A node is gone after so many missed beats'),
    })
    .prefault({}),
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
