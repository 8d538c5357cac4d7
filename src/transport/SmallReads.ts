/**
 * undici makes an error, with its stack, of each header past the limit that came in one read, and a read may have 64 KiB
 * of them: a tenth of a second in which nobody else is heard, whenever a receiver likes. So it is given little at a time,
 * and nothing any more once it has given up.
 */
import type { Socket } from "node:net"

const bytesMax = 1_024

/** The same socket. */
export const smallReads = <S extends Socket>(socket: S): S => {
  const read = socket.read.bind(socket)
  socket.read = (size?: number) => {
    if (socket.destroyed) return null
    return read(size ?? (socket.readableLength > bytesMax ? bytesMax : undefined))
  }
  return socket
}
