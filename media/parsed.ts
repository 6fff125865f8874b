// What every parser of this folder answers: a value, or a sentence that says what is wrong with the bytes.

export type Parsed<T> = { value: T } | { fault: string }
