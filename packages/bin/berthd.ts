/** berthd: the daemon's entry point. */
import { main } from "@berth/engine";

// packaging/berthd.sh sets them for this process only, not for its children.
for (const name of ["NODE_COMPILE_CACHE", "NODE_COMPILE_CACHE_PORTABLE", "MALLOC_ARENA_MAX"])
  delete process.env[name];
process.exitCode = await main(process.argv.slice(2));
