import NIOCore

extension ChannelHandlerContext {
    /// Closes the channel once everything written so far has been handed to the kernel: a close alone would drop it.
    /// Who calls it has to give up by itself on a peer that never takes the bytes.
    ///
    /// - Parameter mode: ``CloseMode/output`` tells the peer that nothing more comes, while it may go on sending.
    func closeWhenFlushed(mode: CloseMode = .all) {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let promise = eventLoop.makePromise(of: Void.self)
        promise.futureResult.whenComplete { _ in bound.value.close(mode: mode, promise: nil) }
        writeAndFlush(NIOAny(ByteBuffer()), promise: promise)
    }
}
