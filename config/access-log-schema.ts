// Settings of the access log of an edge.
import { z } from 'zod'
import { filePath } from './schema-values.ts'

export const accessLog = z
  .strictObject({
    file: filePath.optional().describe('File that lines are added to; none where not set'),
    format: z
      .enum(['json', 'w3c'])
      .default('json')
      .describe('A JSON object a line, or W3C extended'),
    sampleRate: z
      .number()
      .min(0)
      .max(1)
      .default(1)
      .describe('Share of the requests that get a line'),
    addresses: z
      .enum(['full', 'truncated', 'none'])
      .default('truncated')
      .describe('Of viewers; truncated: the /24 of IPv4, the /48 of IPv6'),
  })
  .prefault({})
  .describe('Requests of viewers, one a line; a reload opens the file anew')
