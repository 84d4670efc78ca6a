export function docsPage(): string {
  return "<!doctype html><title>docs</title>";
}
export function docsHeaders(): readonly string[] {
  return [];
}
