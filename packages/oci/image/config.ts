/** The image specification's configuration: how containers of an image run by default. */

/** The config blob of an image. */
export interface ImageConfig {
  /** RFC 3339. */
  created?: string;
  author?: string;
  architecture: string;
  os: string;
  "os.version"?: string;
  variant?: string;
  config?: ImageRunConfig;
  rootfs: { type: "layers"; diff_ids: string[] };
  history?: ImageHistory[];
}

/** Defaults for containers of an image. */
export interface ImageRunConfig {
  /** "user", "user:group", by name or number. */
  User?: string;
  /** Keys "80/tcp". */
  ExposedPorts?: Record<string, object>;
  Env?: string[];
  Entrypoint?: string[];
  Cmd?: string[];
  Volumes?: Record<string, object>;
  WorkingDir?: string;
  Labels?: Record<string, string>;
  /** Name or number, for instance "SIGQUIT". */
  StopSignal?: string;
}

/** How a layer was made. */
export interface ImageHistory {
  created?: string;
  created_by?: string;
  author?: string;
  comment?: string;
  /** True when no layer belongs to this entry. */
  empty_layer?: boolean;
}
