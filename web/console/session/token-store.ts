// The bearer of this tab: kept for the tab's life only, taken from a one-time code in the address once.

const item = 'nearcast.token'
const codePattern = /^#(?:.*&)?code=(nco_[A-Za-z0-9_-]+)/

export function codeOf(fragment: string): string | undefined {
  return codePattern.exec(fragment)?.[1]
}

/** What a person may paste: an API or session token, with or without what surrounds it. */
export function tokenOf(text: string): string | undefined {
  const token = text.trim().replace(/^Bearer\s+/i, '')
  return /^[\x21-\x7e]{16,512}$/.test(token) ? token : undefined
}

export interface TokenStorage {
  getItem(name: string): string | null
  setItem(name: string, value: string): void
  removeItem(name: string): void
}

export class TokenStore {
  readonly #storage: TokenStorage

  constructor(storage: TokenStorage) {
    this.#storage = storage
  }

  read(): string | null {
    try {
      return this.#storage.getItem(item)
    } catch {
      return null
    }
  }

  write(token: string | null): void {
    try {
      if (token === null) this.#storage.removeItem(item)
      else this.#storage.setItem(item, token)
    } catch {
      // Without storage the session lasts until the page is left.
    }
  }
}
