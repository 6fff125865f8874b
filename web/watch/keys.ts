// Which key does what on the watch page; the help dialog lists the same table.

export type KeyAction =
  | 'play'
  | 'mute'
  | 'louder'
  | 'softer'
  | 'back'
  | 'forward'
  | 'live'
  | 'fullscreen'
  | 'protocol'
  | 'help'

export interface KeyPress {
  key: string
  ctrlKey: boolean
  metaKey: boolean
  altKey: boolean
  /** Tag of the focused element, lower case, and its input type. */
  target: string
  inputType: string | null
}

const actions: Record<string, KeyAction> = {
  ' ': 'play',
  k: 'play',
  m: 'mute',
  arrowup: 'louder',
  arrowdown: 'softer',
  arrowleft: 'back',
  arrowright: 'forward',
  l: 'live',
  f: 'fullscreen',
  p: 'protocol',
  '?': 'help',
}

/** A key that the focused control uses itself is never taken from it. */
export function actionOf(press: KeyPress): KeyAction | undefined {
  if (press.ctrlKey || press.metaKey || press.altKey) return undefined
  const action = actions[press.key.toLowerCase()]
  if (!action) return undefined
  const isArrow = press.key.startsWith('Arrow')
  switch (press.target) {
    case 'textarea':
    case 'select':
      return undefined
    case 'input':
      if (press.inputType === 'range' || press.inputType === 'radio') {
        return isArrow || press.key === ' ' ? undefined : action
      }
      return undefined
    case 'button':
    case 'a':
    case 'summary':
      return press.key === ' ' ? undefined : action
    default:
      return action
  }
}
