// The version of this program, read once from package.json.
import packageJson from '../package.json' with { type: 'json' }

export const version: string = packageJson.version

/** The oldest Node that runs this program, as package.json states it: `24.7`. */
export const minimumNode: string = packageJson.engines.node.replace(/^>=/, '')
