// Kinds of values that settings of several sections have.
import { z } from 'zod'
import { isNetwork } from '../common/net/allowed-networks.ts'

/** Relative paths are taken from the folder of the config file: the loader finds them by this mark. */
export const filePath = z.string().min(1).meta({ format: 'path' })

export const cidrs = z.array(
  z.string().refine(isNetwork, { message: 'a network such as 10.0.0.0/8 or fc00::/7' }),
)
