/**
 * The messages that come over a connection, for those that stand for other machines: what they cost on this one is taken from
 * the service, or from whoever is compared with it. Of HTTP/1.1 (RFC 9112) this knows what is sent here, messages with a
 * `Content-Length`, and no more.
 */
export interface Message {
  /** The first line and the headers, each header with the end of the line before it. */
  readonly head: string
  readonly body: Buffer
}

const headEnd = "\r\n\r\n"
const lengthIn = /\r\ncontent-length: *(\d+)/i

export class Messages {
  #chunks: Array<Buffer> = []
  #bytes = 0
  /** Before so many bytes are here there is no need to look. */
  #wanted = 0

  /** Those that end in this chunk. */
  take(chunk: Buffer): ReadonlyArray<Message> {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    if (this.#bytes < this.#wanted) return []
    let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks)
    const messages: Array<Message> = []
    let place = placeOf(rest)
    while (place !== null && place.end <= rest.length) {
      messages.push({ head: place.head, body: rest.subarray(place.bodyAt, place.end) })
      rest = rest.subarray(place.end)
      place = placeOf(rest)
    }
    this.#chunks = rest.length === 0 ? [] : [rest]
    this.#bytes = rest.length
    this.#wanted = place?.end ?? 0
    return messages
  }
}

/** Where the first message ends; null where its head has not ended yet. */
const placeOf = (bytes: Buffer) => {
  const headBytes = bytes.length === 0 ? -1 : bytes.indexOf(headEnd)
  if (headBytes < 0) return null
  const head = bytes.toString("latin1", 0, headBytes)
  const length = lengthIn.exec(head)?.[1]
  if (length === undefined) throw new Error(`a message has no Content-Length, or an empty one:\n${head}`)
  const bodyAt = headBytes + headEnd.length
  return { head, bodyAt, end: bodyAt + Number(length) }
}
