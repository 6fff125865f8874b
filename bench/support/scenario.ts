// What a benchmark is to `bench/run.ts`: something with a name that gives a table.

export interface ScenarioOptions {
  rounds: number
  seconds: number
  connections: number
  /** Where a scenario has viewers; its own number where not told. */
  viewers?: number
  progress(text: string): void
}

export interface ScenarioResult {
  /** One sentence on how it was measured: load, repetitions, what was pinned where. */
  setting: string
  /** Markdown. */
  table: string
  /** Every single measurement, for the JSON file. */
  data: unknown
}

export interface Scenario {
  name: string
  /** What has to be installed first, as a sentence, or undefined. */
  missing(): string | undefined
  run(options: ScenarioOptions): Promise<ScenarioResult>
}
