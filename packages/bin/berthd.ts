/** berthd: the daemon's entry point. */
import { main } from "@berth/engine";

process.exitCode = await main(process.argv.slice(2));
