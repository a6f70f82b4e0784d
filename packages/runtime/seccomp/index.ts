/** The seccomp compiler; load it late, as its tables are long. */
export { ARCHITECTURES } from "./architectures.ts";
export { type CompiledSeccomp, compileSeccomp } from "./compile.ts";
export { type SeccompData, simulate, type Verdict } from "./simulator.ts";
export { syscallsOf } from "./syscalls/index.ts";
