namespace Proxy.Inference.Tokenizing;

/// <summary>A tokenizer file is invalid, or uses an unsupported feature. The message names the file and the place in it.</summary>
internal sealed class TokenizerException(string message, Exception? cause = null) : Exception(message, cause);
