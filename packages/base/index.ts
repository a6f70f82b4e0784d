/** What every layer shares: errors, trace stages, log lines, time. Imports no other berth package. */

export { type Clock, FakeClock, systemClock } from "./clock.ts";
export { CRI_LOG, criLogUri, LOG_MODE, MAX_LOG_FILES } from "./cri-log.ts";
export { parseDuration } from "./duration.ts";
export { BerthError, codeOfErrno, type ErrorCode, type ErrorFacts, isCode } from "./errors.ts";
export { ignoreMissing } from "./ignore-missing.ts";
export { configureLog, isLogLevel, type LogFields, type LogLevel, log, logLevel } from "./log.ts";
export { present } from "./present.ts";
export { SIGKILL, SIGTERM, signalNumber } from "./signals.ts";
export {
  recordStage,
  STAGE_CHANNEL,
  type Stage,
  type StageEvent,
  type StageFacts,
  stage,
  stageSync,
  subscribeStages,
} from "./trace.ts";
export { COMMIT, VERSION } from "./version.ts";
