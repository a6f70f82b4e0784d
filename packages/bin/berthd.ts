/** berthd: the daemon's entry point. */
import { main } from "@berth/engine";

// packaging/berthd.sh sets them for this process alone, not for what it starts.
delete process.env.NODE_COMPILE_CACHE;
delete process.env.NODE_COMPILE_CACHE_PORTABLE;
process.exitCode = await main(process.argv.slice(2));
