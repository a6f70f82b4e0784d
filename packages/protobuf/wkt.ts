/** The well-known types the API uses; replaces @bufbuild/protobuf/wkt. */
import { fileDesc, messageDesc } from "./codegen.ts";

export const file_google_protobuf_any = fileDesc(
  "Chlnb29nbGUvcHJvdG9idWYvYW55LnByb3RvEg9nb29nbGUucHJvdG9idWYiJgoDQW55EhAKCHR5cGVfdXJsGAEgASgJEg0KBXZhbHVlGAIgASgMYgZwcm90bzM=",
);
export const file_google_protobuf_empty = fileDesc(
  "Chtnb29nbGUvcHJvdG9idWYvZW1wdHkucHJvdG8SD2dvb2dsZS5wcm90b2J1ZiIHCgVFbXB0eWIGcHJvdG8z",
);
export const file_google_protobuf_field_mask = fileDesc(
  "CiBnb29nbGUvcHJvdG9idWYvZmllbGRfbWFzay5wcm90bxIPZ29vZ2xlLnByb3RvYnVmIhoKCUZpZWxkTWFzaxINCgVwYXRocxgBIAMoCWIGcHJvdG8z",
);
export const file_google_protobuf_timestamp = fileDesc(
  "Ch9nb29nbGUvcHJvdG9idWYvdGltZXN0YW1wLnByb3RvEg9nb29nbGUucHJvdG9idWYiKwoJVGltZXN0YW1wEg8KB3NlY29uZHMYASABKAMSDQoFbmFub3MYAiABKAViBnByb3RvMw==",
);

export const AnySchema = messageDesc(file_google_protobuf_any, 0);
export const EmptySchema = messageDesc(file_google_protobuf_empty, 0);
export const FieldMaskSchema = messageDesc(file_google_protobuf_field_mask, 0);
export const TimestampSchema = messageDesc(file_google_protobuf_timestamp, 0);
