/** Microseconds of the clock that all processes of this machine share, and that nobody puts back. */
export const microseconds = (): number => Number(process.hrtime.bigint() / 1_000n)
