/** The seccomp compiler; import it on demand, as its tables are large. */
export { ARCHITECTURES } from "./architectures.ts";
export { type CompiledSeccomp, compileSeccomp } from "./compile.ts";
export { type SeccompData, simulate, type Verdict } from "./simulator.ts";
export { syscallsOf } from "./syscalls/index.ts";
