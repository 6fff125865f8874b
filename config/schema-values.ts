// Kinds of values that settings of several sections have.
import { z } from 'zod'

/** Relative paths are taken from the folder of the config file: the loader finds them by this mark. */
export const filePath = z.string().min(1).meta({ format: 'path' })
