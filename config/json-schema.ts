// The JSON Schema of all config files, for editors: one schema per role, chosen by the `role` of the file.
import { z } from 'zod'
import type { ConfigRole } from './schema.ts'
import { roleSchemas, roles } from './setting-tree.ts'

export function configJsonSchema(): object {
  // if/then rather than oneOf: an editor then names the wrong setting, not "matches none of four".
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Nearcast config file',
    description: 'Generated from config/schema.ts by scripts/generate-config-docs.ts.',
    type: 'object',
    required: ['role'],
    properties: { role: { enum: roles, description: 'What this node does' } },
    allOf: roles.map((role) => ({
      if: { properties: { role: { const: role } }, required: ['role'] },
      // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema.
      then: { $ref: `#/$defs/${role}` },
    })),
    $defs: Object.fromEntries(roles.map((role) => [role, definition(role)])),
  }
}

function definition(role: ConfigRole): object {
  const { $schema: _, ...schema } = z.toJSONSchema(roleSchemas[role], { io: 'input' })
  return schema
}
