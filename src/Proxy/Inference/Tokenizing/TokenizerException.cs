namespace Proxy.Inference.Tokenizing;

/// <summary>A tokenizer file that is broken, or asks for what is not known here. The message names the file and the place in it.</summary>
internal sealed class TokenizerException(string message, Exception? cause = null) : Exception(message, cause);
